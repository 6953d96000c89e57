import type { Command } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { groupFigures, groupRows } from '../report/groups.ts';
import { spansCsv, spansJson } from '../report/spans-json.ts';
import { kindsText, noSpans, type SpansAnswer, spanLines, spansScope, spansText } from '../report/spans-text.ts';
import type { SpanKind } from '../spans/kind.ts';
import { kindNamed, kinds } from '../spans/kinds.ts';
import { isStretch } from '../trace/analysis.ts';
import { isGroup, SpansView, spanSubjects } from '../views/spans.ts';
import { needLength, needTimes } from './lacking.ts';
import { parseWords } from './options.ts';
import { Output } from './output.ts';
import { didYouMean } from './suggest.ts';
import { answerView, type View, type ViewOptions, viewOptions } from './view-command.ts';

type SpansCommandOptions = ViewOptions & { kind: SpanKind; by?: string[]; sort: string };

const spans: View<SpansCommandOptions, SpansAnswer> = {
  examples: [
    ['virtap spans waits --by site,holder trace.dat', "waits for QEMU's mutexes, by call site and who had it"],
    ['virtap spans states --by vcpu,state --slow 10 trace.dat', 'the longest stretches of what vCPUs did'],
    ['virtap spans requests --by device,operation --heatmap trace.bin', 'requests over time'],
  ],
  conditions: 'wait, or wait:VALUES with the values of --by, and so with every kind',
  table: { what: 'the table', columns: groupFigures, usual: 'total' },
  heatmap: 'draw them over time, by how long they took',
  slow: 'list the longest',
  than: 'list those longer than this',
  options: (command) =>
    command.option('--by <columns>', 'group by these columns of the kind (docs/spans.md)', parseWords),
  wanted({ kind, by }) {
    for (const name of by ?? []) checkColumn(kind, name);
    return kind.wanted;
  },
  async ask(trace, options) {
    const { kind, by, heatmap, slow, than, sort } = options;
    await needTimes(trace);
    needLength(trace, options);
    const view = new SpansView({ kind, by, heatmap, slow, than });
    return {
      analyses: [view],
      answer(reading) {
        const answer = { trace, reading, result: view.result(), sort, than };
        const { all, openCount, seen } = answer.result;
        if (all.count === 0 && openCount === 0 && !(seen && isStretch(reading.window)))
          throw new UsageError(...noSpans(answer));
        return answer;
      },
    };
  },
  json: spansJson,
  csv: spansCsv,
  text: spansText,
  subjects: (answer) => spanSubjects(answer.result, spansScope(answer).seconds),
  rows: (answer) => groupRows(answer.result.kind.word, spanLines(answer), spansScope(answer)),
};

export default function define(command: Command): void {
  command.argument('[kind]', `${kinds.map(({ plural }) => plural).join(', ')}; without it, what these are`);
  viewOptions(command, spans).action(
    async (word: string | undefined, files: string[], options: Omit<SpansCommandOptions, 'kind'>) => {
      if (word !== undefined) return answerView(spans, files, { ...options, kind: kindCalled(word) }, command);
      const out = new Output(options);
      await out.write(kindsText(kinds, out.terminal));
    },
  );
}

function kindCalled(word: string): SpanKind {
  const kind = kindNamed(word);
  if (kind !== undefined) return kind;
  const words = kinds.map(({ plural }) => plural);
  throw new UsageError(
    `there is no kind of span called ${word}${didYouMean(word, words)} (there is ${words.join(', ')})`,
  );
}

function checkColumn({ columns, plural }: SpanKind, name: string): void {
  const groups = Object.entries(columns).flatMap(([column, of]) => (isGroup(of) ? [column] : []));
  if (groups.includes(name)) return;
  throw new UsageError(
    `${plural} have no column ${name} to group by${didYouMean(name, groups)} (they have ${groups.join(', ')})`,
  );
}
