import { UsageError } from '../analyse/usage-error.ts';
import { type FaultsAnswer, faultsJson, faultsText } from '../report/faults.ts';
import { groupFigures, groupRows } from '../report/groups.ts';
import { spansCsv } from '../report/spans-json.ts';
import { noSpans, spanLines, spansScope } from '../report/spans-text.ts';
import { fault } from '../spans/kinds/fault.ts';
import { isStretch } from '../trace/analysis.ts';
import { recordLines } from '../trace/recorders.ts';
import { isGroup, SpansView, spanSubjects } from '../views/spans.ts';
import { needLength, needTimes } from './lacking.ts';
import { parseWords } from './options.ts';
import { didYouMean } from './suggest.ts';
import { type ViewOptions, viewCommand } from './view-command.ts';

type FaultsCommandOptions = ViewOptions & { by?: string[]; sort: string };

export default viewCommand<FaultsCommandOptions, FaultsAnswer>({
  examples: [
    ['virtap faults trace.dat', "faults of the guest's memory, by what they were; vCPUs that get no further"],
    ['virtap faults --by region,what trace.dat', 'by 2 MiB of memory'],
    ['virtap faults --by vcpu,address --slow 5 trace.dat', 'by address, and the five slowest'],
    ['virtap faults --heatmap trace.dat', 'over time'],
    ["virtap faults --fail-if 'count(no-progress)>0' trace.dat", 'in a script: the exit status is 3 where that is so'],
  ],
  conditions: 'fault, or fault:VALUES with the values of --by; no-progress, whose count is of exits in a row',
  table: { what: 'the table', columns: groupFigures, usual: 'total' },
  heatmap: 'draw them over time, by how long they took',
  slow: 'list the slowest',
  than: 'list those that took longer than this',
  options: (command) =>
    command.option(
      '--by <columns>',
      'what, access, address, region, rip, vcpu, reason, cpu; several with commas',
      parseWords,
    ),
  wanted({ by = [] }) {
    const groups = Object.entries(fault.columns).flatMap(([name, column]) => (isGroup(column) ? [name] : []));
    for (const name of by) {
      if (!groups.includes(name))
        throw new UsageError(
          `faults have no column ${name} to group by${didYouMean(name, groups)} (they have ${groups.join(', ')})`,
        );
    }
    return fault.wanted;
  },
  async ask(trace, options) {
    const { by, heatmap, slow, than, sort } = options;
    await needTimes(trace);
    needLength(trace, options);
    const spans = fault.start();
    const view = new SpansView({ kind: { ...fault, start: () => spans }, by, heatmap, slow, than });
    return {
      analyses: [view],
      answer(reading) {
        const answer = { trace, reading, result: view.result(), sort, than, stalls: spans.stalls() };
        const none = answer.result.all.count === 0 && answer.stalls.length === 0;
        if (none && !(answer.result.seen && isStretch(reading.window))) {
          const [sentence, ...remarks] = noSpans(answer);
          const lines = recordLines('kernel').map((line) => `  ${line}`);
          throw new UsageError(sentence, 'To record them:', ...lines, ...remarks);
        }
        return answer;
      },
    };
  },
  json: faultsJson,
  csv: spansCsv,
  text: faultsText,
  subjects: (answer) => [
    ...spanSubjects(answer.result, spansScope(answer).seconds),
    {
      kind: 'no-progress',
      name: undefined,
      measured: { count: answer.stalls.reduce((sum, { count }) => sum + count, 0) },
    },
  ],
  rows: (answer) => groupRows('fault', spanLines(answer), spansScope(answer)),
});
