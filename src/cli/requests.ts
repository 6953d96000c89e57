import { type Command, Option } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { sortKeys } from '../report/columns.ts';
import { requestQueueColumns } from '../report/requests-columns.ts';
import { requestsCsv, requestsJson } from '../report/requests-json.ts';
import { requestsText } from '../report/requests-text.ts';
import { tellsTime } from '../trace/clock.ts';
import { clockOptions } from '../trace/recorders.ts';
import type { Condition } from '../views/conditions.ts';
import type { Reading } from '../views/reading.ts';
import { type Rank, RequestsView, ranks, requestSubjects } from '../views/requests.ts';
import { failIf, failIfOption } from './fail-if.ts';
import { needEvents, needPopsAndFills, untimeable } from './lacking.ts';
import { openSource } from './open.ts';
import {
  type LiveOptions,
  liveCommand,
  parseCount,
  parseDuration,
  parseNumbers,
  parseWords,
  runOptions,
  type TraceOptions,
  traceCommand,
} from './options.ts';
import { Output } from './output.ts';
import { answerFrom } from './run.ts';

type RequestsCommandOptions = TraceOptions &
  LiveOptions & {
    device?: string[];
    queue?: number[];
    sort: string;
    heatmap?: true;
    slow?: number;
    than?: number;
    rank: Rank;
    failIf?: Condition[];
  };

export default function define(command: Command): void {
  liveCommand(
    failIfOption(
      traceCommand(command, [
        ['virtap requests qemu.log', 'how long requests take, by device and queue, and where their time goes'],
        ['virtap requests --slow 5 trace.bin', 'the five slowest, each with its path'],
        ['virtap requests --device blk --heatmap trace.bin', 'disks over time'],
        ['virtap requests trace.dat trace.bin', 'with the kernel trace: from the kick to the interrupt'],
        [
          "virtap requests --fail-if 'p99(request:virtio-blk)>10ms' trace.bin",
          'in a script: the exit status is 3 where that is so',
        ],
      ]),
      'request, request:virtio-blk, or request:VDEV,QUEUE of one queue; delay for the time from the kick to the pop',
    )
      .option('--device <names>', 'only these devices: blk, net, or an address', parseWords)
      .option('--queue <numbers>', 'only queues of these numbers: 0, or 0,2-4', parseNumbers)
      .addOption(
        new Option('-s, --sort <column>', 'sort the queues by this column')
          .choices(sortKeys(requestQueueColumns, 'total'))
          .default('total'),
      )
      .option('--heatmap', 'draw a heat map for each queue: time across, duration up, count as colour')
      .option('--slow <number>', 'show the slowest requests, each with its path', parseCount)
      .option('--than <time>', 'show the requests longer than this: 1ms, 250us', parseDuration)
      .addOption(
        new Option(
          '--rank <what>',
          'what makes a request slow: pop to fill (request), kick to pop (delay), or all of it (path)',
        )
          .choices([...ranks])
          .default('request' as Rank),
      )
      .addHelpText('after', help),
  ).action(run);
}

const help = `
A request lasts from virtqueue_pop to virtqueue_fill. Its path begins with the guest's kick and ends with the vCPU's entry with the
interrupt, as far as the recordings tell: QEMU's events have the middle, KVM's both ends, the scheduler's what threads did meanwhile.`;

async function run(files: string[], options: RequestsCommandOptions): Promise<void> {
  const out = new Output(options);
  const { device, queue, heatmap, slow, than, rank, sort } = options;
  const trace = await openSource(files, options, { purposes: ['requests'] });
  if (than !== undefined && trace.clock.unit === 'ticks') {
    throw new UsageError(`${trace.file}: its clock counts cycles of unknown length, so there is no --than`);
  }
  const view = new RequestsView({ heatmap: heatmap === true, slow, than, rank, devices: device, queues: queue });
  const answer = async (reading: Reading) => {
    needEvents(trace, reading);
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
    if (slow === undefined) result.slow?.sort((a, b) => a.begin - b.begin);
    const found = { trace, result, reading, sort, than, rank };
    await out.answer({
      json: () => requestsJson(found),
      csv: () => requestsCsv(found),
      text: (terminal) => requestsText(found, terminal),
    });
    return result;
  };
  const result = await answerFrom(trace, [view], runOptions(options), answer);
  failIf(options.failIf, () => requestSubjects(result));
}
