import { type Command, Option } from 'commander';
import { leaksCsv, leaksJson, leaksPlain } from '../report/leaks-json.ts';
import { leaksText } from '../report/leaks-text.ts';
import { Requests } from '../spans/requests.ts';
import type { Condition } from '../views/conditions.ts';
import { bad, judgeLeaks, leakSubjects } from '../views/leaks.ts';
import type { Reading } from '../views/reading.ts';
import { failIf, failIfOption } from './fail-if.ts';
import { needEvents, needPopsAndFills } from './lacking.ts';
import { openSource } from './open.ts';
import { type LiveOptions, liveCommand, runOptions, type TraceOptions, traceCommand } from './options.ts';
import { Output } from './output.ts';
import { answerFrom } from './run.ts';

type LeaksOptions = TraceOptions & LiveOptions & { all?: true; plain?: true; failIf?: Condition[] };

/** The exit status where something is leaked, lost or stuck. */
const found = 3;

export default function define(command: Command): void {
  liveCommand(
    failIfOption(
      traceCommand(command, [
        ['virtap leaks trace.bin', 'which elements QEMU took and never gave back, and why virtap says so'],
        ['virtap leaks --all trace.bin', 'also those that are in flight, parked, taken back, …'],
        ['virtap leaks --plain trace.bin', 'a line `pid elem` for each that leaked or was lost'],
        ['virtap leaks trace.bin || echo leaks', 'in a script: the exit status is 3 where something leaked'],
      ]),
      'count of leaked, lost, stuck, held-on-error, unsure, returned-unseen, in-flight, taken-back or parked elements',
    )
      .option('--all', 'also list the elements without a fill that nothing is wrong with')
      .addOption(
        new Option('--plain', 'print only `pid elem` lines of what leaked or was lost').conflicts(['json', 'csv']),
      ),
  ).action(run);
}

async function run(files: string[], options: LeaksOptions): Promise<void> {
  const out = new Output(options);
  const trace = await openSource(files, options, { purposes: ['leaks'] });
  const requests = new Requests();
  const all = options.all === true;
  const answer = async (reading: Reading) => {
    needEvents(trace, reading);
    const report = judgeLeaks(requests, trace.clock);
    needPopsAndFills(trace, 'what leaked');
    if (options.plain === true) await out.write(leaksPlain(report));
    else {
      await out.answer({
        json: () => leaksJson(report, reading, trace, all),
        csv: () => leaksCsv(report, trace, all),
        text: (terminal) => leaksText(report, reading, trace, all, terminal),
      });
    }
    return report;
  };
  const report = await answerFrom(trace, [requests], runOptions(options), answer);
  if (report.elements.some(({ verdict }) => bad.has(verdict))) process.exitCode = found;
  failIf(options.failIf, () => leakSubjects(report));
}
