import { type Command, Option } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { sortKeys } from '../report/columns.ts';
import { groupFigures } from '../report/groups.ts';
import { spansCsv, spansJson } from '../report/spans-json.ts';
import { kindsText, noSpans, spansScope, spansText } from '../report/spans-text.ts';
import type { SpanKind } from '../spans/kind.ts';
import { kindNamed, kinds } from '../spans/kinds.ts';
import { isStretch } from '../trace/analysis.ts';
import type { Condition } from '../views/conditions.ts';
import type { Reading } from '../views/reading.ts';
import { isGroup, SpansView, spanSubjects } from '../views/spans.ts';
import { failIf, failIfOption } from './fail-if.ts';
import { needEvents, needTimes } from './lacking.ts';
import { openSource } from './open.ts';
import {
  type LiveOptions,
  liveCommand,
  parseCount,
  parseDuration,
  parseWords,
  runOptions,
  type TraceOptions,
  traceCommand,
} from './options.ts';
import { Output } from './output.ts';
import { answerFrom } from './run.ts';
import { didYouMean } from './suggest.ts';

type SpansCommandOptions = TraceOptions &
  LiveOptions & {
    by?: string[];
    sort: string;
    heatmap?: true;
    slow?: number;
    than?: number;
    failIf?: Condition[];
  };

export default function define(command: Command): void {
  command.argument('[kind]', `${kinds.map(({ plural }) => plural).join(', ')}; without it, what these are`);
  liveCommand(
    failIfOption(
      traceCommand(command, [
        ['virtap spans waits --by site,holder trace.dat', "waits for QEMU's mutexes, by call site and who had it"],
        ['virtap spans states --by vcpu,state --slow 10 trace.dat', 'the longest stretches of what vCPUs did'],
        ['virtap spans requests --by device,operation --heatmap trace.bin', 'requests over time'],
      ]),
      'wait, or wait:VALUES with the values of --by, and so with every kind',
    )
      .option('--by <columns>', 'group by these columns of the kind (docs/spans.md)', parseWords)
      .addOption(
        new Option('-s, --sort <figure>', 'order of the rows')
          .choices(sortKeys(groupFigures, 'total'))
          .default('total'),
      )
      .option('--heatmap', 'draw them over time, by how long they took')
      .option('--slow <n>', 'list the n longest', parseCount)
      .option('--than <time>', 'list those longer than this', parseDuration),
  ).action(run);
}

async function run(word: string | undefined, files: string[], options: SpansCommandOptions): Promise<void> {
  const out = new Output(options);
  if (word === undefined) {
    await out.write(kindsText(kinds, out.terminal));
    return;
  }
  const kind = kindNamed(word);
  if (kind === undefined) {
    const words = kinds.map(({ plural }) => plural);
    throw new UsageError(
      `there is no kind of span called ${word}${didYouMean(word, words)} (there is ${words.join(', ')})`,
    );
  }
  const { by, slow, than, sort } = options;
  for (const name of by ?? []) checkColumn(kind, name);
  const trace = await openSource(files, options, kind.wanted);
  await needTimes(trace);
  const view = new SpansView({ kind, by, heatmap: options.heatmap, slow, than });
  const answer = async (reading: Reading) => {
    needEvents(trace, reading);
    const result = view.result();
    if (slow === undefined) result.slow?.sort((a, b) => a.begin - b.begin);
    const nothing = result.all.count === 0 && result.openCount === 0;
    if (nothing && !(result.seen && isStretch(reading.window))) {
      throw new UsageError(...noSpans({ trace, result, reading }, out.terminal));
    }
    const found = { trace, reading, result, sort, than };
    await out.answer({
      json: () => spansJson(found),
      csv: () => spansCsv(found),
      text: (terminal) => spansText(found, terminal),
    });
    return { result, seconds: spansScope(found).seconds };
  };
  const { result, seconds } = await answerFrom(trace, [view], runOptions(options), answer);
  failIf(options.failIf, () => spanSubjects(result, seconds));
}

function checkColumn({ columns, plural }: SpanKind, name: string): void {
  const groups = Object.entries(columns).flatMap(([column, of]) => (isGroup(of) ? [column] : []));
  if (groups.includes(name)) return;
  throw new UsageError(
    `${plural} have no column ${name} to group by${didYouMean(name, groups)} (they have ${groups.join(', ')})`,
  );
}
