import { Option } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { type RequestsAnswer, requestQueueColumns, requestRows } from '../report/requests-columns.ts';
import { requestsCsv, requestsJson } from '../report/requests-json.ts';
import { requestsText } from '../report/requests-text.ts';
import { tellsTime } from '../trace/clock.ts';
import { clockOptions } from '../trace/recorders.ts';
import { type Rank, RequestsView, ranks, requestSubjects } from '../views/requests.ts';
import { needLength, needPopsAndFills, untimeable } from './lacking.ts';
import { parseNumbers, parseWords } from './options.ts';
import { type ViewOptions, viewCommand } from './view-command.ts';

type RequestsCommandOptions = ViewOptions & { device?: string[]; queue?: number[]; sort: string; rank: Rank };

export default viewCommand<RequestsCommandOptions, RequestsAnswer>({
  examples: [
    ['virtap requests qemu.log', 'how long requests take, by device and queue, and where their time goes'],
    ['virtap requests --slow 5 trace.bin', 'the five slowest, each with its path'],
    ['virtap requests --device blk --heatmap trace.bin', 'disks over time'],
    ['virtap requests trace.dat trace.bin', 'with the kernel trace: from the kick to the interrupt'],
    [
      "virtap requests --fail-if 'p99(request:virtio-blk)>10ms' trace.bin",
      'in a script: the exit status is 3 where that is so',
    ],
  ],
  conditions:
    'request, request:virtio-blk, or request:VDEV,QUEUE of one queue; delay for the time from the kick to the pop',
  table: { what: 'the queues', columns: requestQueueColumns, usual: 'total' },
  heatmap: 'draw a heat map for each queue: time across, duration up, count as colour',
  slow: 'show the slowest requests, each with its path',
  than: 'show the requests longer than this',
  options: (command) =>
    command
      .option('--device <names>', 'only these devices: blk, net, or an address', parseWords)
      .option('--queue <numbers>', 'only queues of these numbers: 0, or 0,2-4', parseNumbers)
      .addOption(
        new Option(
          '--rank <what>',
          'what makes a request slow: pop to fill (request), kick to pop (delay), or all of it (path)',
        )
          .choices([...ranks])
          .default('request' as Rank),
      )
      .addHelpText('after', help),
  wanted: () => ({ purposes: ['requests'] }),
  ask(trace, options) {
    const { device, queue, heatmap, slow, than, rank, sort } = options;
    needLength(trace, options);
    const view = new RequestsView({ heatmap: heatmap === true, slow, than, rank, devices: device, queues: queue });
    return {
      analyses: [view],
      answer(reading) {
        const result = view.result();
        needPopsAndFills(trace, 'how long requests took');
        if (!tellsTime(trace.clock)) {
          throw new UsageError(
            `${trace.file}: ${untimeable(trace.clock)}; ${clockOptions.qemu} adds times to QEMU's log, ${clockOptions['trace-cmd']} to trace-cmd's recordings`,
          );
        }
        if (result.queues.length === 0 && (device !== undefined || queue !== undefined)) {
          throw new UsageError(`${trace.file}: none of its queues is one that was asked for`);
        }
        return { trace, reading, result, sort, than, rank };
      },
    };
  },
  json: requestsJson,
  csv: requestsCsv,
  text: requestsText,
  subjects: ({ result }) => requestSubjects(result),
  rows: requestRows,
});

const help = `
A request lasts from virtqueue_pop to virtqueue_fill. Its path begins with the guest's kick and ends with the vCPU's entry with the
interrupt, as far as the recordings tell: QEMU's events have the middle, KVM's both ends, the scheduler's what threads did meanwhile.`;
