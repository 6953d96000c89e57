import { columnName } from '../src/report/span-rows.ts';
import type { SpanKind } from '../src/spans/kind.ts';
import { kinds } from '../src/spans/kinds.ts';
import { figures } from '../src/views/figures.ts';

/** Tables of the documentation that are made of what the code declares, by name. They stand between `<!-- table NAME -->` and `<!-- end -->`. */
export const tables: { readonly [name: string]: () => string } = {
  figures: () =>
    table(
      ['in tables and conditions', 'in JSON and CSV', 'what it is', 'means'],
      figures.map((figure) => {
        const json = 'json' in figure ? figure.json : 'share';
        const name = figure.measure === 'length' ? `${json}_ns` : json;
        return [`\`${figure.name}\``, `\`${name}\``, measures[figure.measure], figure.meaning];
      }),
    ),
  spans: () =>
    (kinds as readonly SpanKind[])
      .map(
        ({ plural, meaning, columns }) =>
          `**${plural}**: ${meaning}\n\n${table(
            ['column', 'in JSON, CSV and Parquet', 'type', 'means'],
            Object.entries(columns).map(([name, { type, meaning }]) => [
              `\`${name}\``,
              type === 'detail' ? '' : `\`${columnName(name, type, 'ns')}\``,
              type,
              meaning,
            ]),
          )}`,
      )
      .join('\n'),
};

const measures = {
  number: 'a number',
  rate: 'per second',
  length: 'a time',
  share: 'a fraction of 1',
};

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
  return line(titles) + line(titles.map(() => '---')) + rows.map(line).join('');
}
