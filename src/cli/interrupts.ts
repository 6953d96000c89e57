import { UsageError } from '../analyse/usage-error.ts';
import { rowSubjects } from '../report/column-names.ts';
import { type InterruptsAnswer, interruptColumns, interruptsScope } from '../report/interrupts-columns.ts';
import { interruptsCsv, interruptsJson } from '../report/interrupts-json.ts';
import { interruptLines, interruptsText } from '../report/interrupts-text.ts';
import { interrupt } from '../spans/kinds/interrupt.ts';
import { vectorName } from '../spans/vector.ts';
import { isStretch } from '../trace/analysis.ts';
import { recordLines, recordTimes } from '../trace/recorders.ts';
import { InterruptsView, interruptSubjects } from '../views/interrupts.ts';
import { needLength, needTimes } from './lacking.ts';
import { type ViewOptions, viewCommand } from './view-command.ts';

export default viewCommand<ViewOptions, InterruptsAnswer>({
  examples: [
    ['virtap interrupts trace.dat', 'by vector: how many, and where they wait on their way into the guest'],
    ['virtap interrupts --slow 10 trace.dat', 'the ten slowest, from point to point'],
    ['virtap interrupts --live --vm web1 --for 10s', 'of a machine that runs here'],
    [
      "virtap interrupts --fail-if 'p99(interrupt:0xec)>1ms' trace.dat",
      'in a script: the exit status is 3 where that is so',
    ],
  ],
  conditions: 'interrupt, or interrupt:VECTOR (interrupt:0xec)',
  table: { what: 'the vectors', columns: interruptColumns, usual: 'count' },
  heatmap: 'draw a heat map: time across, duration up, count as colour',
  slow: 'list the slowest interrupts',
  than: 'list those that took longer than this',
  wanted: () => interrupt.wanted,
  async ask(trace, options) {
    const { heatmap, slow, than, sort } = options;
    await needTimes(trace, recordTimes);
    needLength(trace, options);
    const view = new InterruptsView({ heatmap, slow, than });
    return {
      analyses: [view],
      answer(reading) {
        const result = view.result();
        const none = result.all.all.count === 0 && result.open.length === 0 && result.timers.length === 0;
        if (none && !(result.seen && isStretch(reading.window)))
          throw new UsageError(
            `${trace.file}: there is no interrupt in it; that takes ${interrupt.needs}. To record them:`,
            ...recordLines('interrupts').map((line) => `  ${line}`),
          );
        return { trace, reading, result, sort, than };
      },
    };
  },
  json: interruptsJson,
  csv: interruptsCsv,
  text: interruptsText,
  subjects: ({ result }) => interruptSubjects(result),
  rows: (answer) =>
    rowSubjects('interrupt', interruptColumns, interruptLines(answer), interruptsScope(answer), ({ vector }) =>
      vectorName(vector),
    ),
});
