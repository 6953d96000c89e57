import { UsageError } from '../analyse/usage-error.ts';
import { rowSubjects } from '../report/column-names.ts';
import { noExits } from '../report/no-exits.ts';
import { causeColumns, type WakesAnswer, wakesScope } from '../report/wakes-columns.ts';
import { wakesCsv, wakesJson } from '../report/wakes-json.ts';
import { causeLines, wakesText } from '../report/wakes-text.ts';
import { halt } from '../spans/kinds/halt.ts';
import { isStretch } from '../trace/analysis.ts';
import { recordTimes } from '../trace/recorders.ts';
import { WakesView, wakeSubjects } from '../views/wakes.ts';
import { needLength, needTimes } from './lacking.ts';
import { type VcpuOptions, vcpuOptions } from './options.ts';
import { type ViewOptions, viewCommand } from './view-command.ts';

type WakesCommandOptions = ViewOptions & VcpuOptions;

export default viewCommand<WakesCommandOptions, WakesAnswer>({
  examples: [
    ['virtap wakes trace.dat', 'why halted vCPUs wake, who wakes them, and how late they run'],
    ['virtap wakes --slow 10 trace.dat', 'the ten wake-ups that waited longest for a CPU'],
    ['virtap wakes --vcpu 1 --heatmap trace.dat', 'of one vCPU, over time'],
    ['virtap wakes --live --vm web1 --for 10s', 'of a machine that runs here'],
    ["virtap wakes --fail-if 'p99(latency)>1ms' trace.dat", 'in a script: the exit status is 3 where that is so'],
  ],
  conditions: 'halt, latency (of wake-ups), or either with a cause: latency:timer, halt:IPI',
  table: { what: 'the causes', columns: causeColumns, usual: 'total' },
  heatmap: 'draw a heat map of wake-up latencies: time across, latency up, count as colour',
  slow: 'list the wake-ups that waited longest for a CPU',
  than: 'list those that waited longer than this',
  options: vcpuOptions,
  wanted: () => halt.wanted,
  async ask(trace, options) {
    const { vcpu: vcpus, pid: pids, heatmap, slow, than, sort } = options;
    await needTimes(trace, recordTimes);
    needLength(trace, options);
    const view = new WakesView({ vcpus, pids, heatmap, slow, than });
    return {
      analyses: [view],
      answer(reading) {
        const answer = { trace, reading, result: view.result(), sort, than };
        const { all, open, seen } = answer.result;
        if (all.halted.count > 0 || open.length > 0 || (seen && isStretch(reading.window))) return answer;
        if (!seen) throw new UsageError(...noExits(answer));
        throw new UsageError(
          `${trace.file}: none of the vCPUs that were asked for halted in it: it has exits, and none is by HLT, WFI or H_CEDE`,
        );
      },
    };
  },
  json: wakesJson,
  csv: wakesCsv,
  text: wakesText,
  subjects: ({ result }) => wakeSubjects(result),
  rows: (answer) => rowSubjects('halt', causeColumns, causeLines(answer), wakesScope(answer), ({ cause }) => cause),
});
