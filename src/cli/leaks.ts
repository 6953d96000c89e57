import { Option } from 'commander';
import { elementColumns } from '../report/leak-elements.ts';
import { type LeaksAnswer, leakQueueColumns } from '../report/leaks-columns.ts';
import { leakRows, leaksCsv, leaksJson, leaksPlain, sortedLeaks } from '../report/leaks-json.ts';
import { leaksText } from '../report/leaks-text.ts';
import { Requests } from '../spans/requests.ts';
import { bad, judgeLeaks, leakSubjects } from '../views/leaks.ts';
import { needPopsAndFills } from './lacking.ts';
import { type ViewOptions, viewCommand } from './view-command.ts';

type LeaksOptions = ViewOptions & { all?: true; plain?: true };

export default viewCommand<LeaksOptions, LeaksAnswer & { plain: boolean }>({
  examples: [
    ['virtap leaks trace.bin', 'which elements QEMU took and never gave back, and why virtap says so'],
    ['virtap leaks --all trace.bin', 'also those that are in flight, parked, taken back, …'],
    ['virtap leaks --plain trace.bin', 'a line `pid elem` for each that leaked or was lost'],
    ['virtap leaks trace.bin || echo leaks', 'in a script: the exit status is 3 where something leaked'],
  ],
  conditions:
    'count of leaked, lost, stuck, held-on-error, unsure, returned-unseen, in-flight, taken-back or parked elements',
  table: { what: 'the queues and elements', columns: [...leakQueueColumns, ...elementColumns] },
  options: (command) =>
    command
      .option('--all', 'also list the elements without a fill that nothing is wrong with')
      .addOption(
        new Option('--plain', 'print only `pid elem` lines of what leaked or was lost').conflicts(['json', 'csv']),
      ),
  wanted: () => ({ purposes: ['leaks'] }),
  ask(trace, { all, plain, sort }) {
    const requests = new Requests();
    return {
      analyses: [requests],
      answer(reading) {
        const result = sortedLeaks(judgeLeaks(requests, trace.clock), trace, sort);
        needPopsAndFills(trace, 'what leaked');
        return { trace, reading, result, all: all === true, plain: plain === true };
      },
    };
  },
  json: leaksJson,
  csv: leaksCsv,
  text: (answer, terminal) => (answer.plain ? leaksPlain(answer) : leaksText(answer, terminal)),
  isBad: ({ result }) => result.elements.some(({ verdict }) => bad.has(verdict)),
  subjects: ({ result }) => leakSubjects(result),
  rows: leakRows,
});
