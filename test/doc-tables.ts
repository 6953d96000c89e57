import { type Column, fullName } from '../src/report/columns.ts';
import { countFigures, countKeys, countOver } from '../src/report/count-columns.ts';
import { diffTables } from '../src/report/diff-columns.ts';
import { machineColumns, typeColumns } from '../src/report/events-columns.ts';
import {
  divisionColumns,
  exitColumns,
  groupColumns,
  openExitColumns,
  slowExitColumns,
} from '../src/report/exits-columns.ts';
import { stallColumns } from '../src/report/faults.ts';
import { heatColumns } from '../src/report/heat-json.ts';
import { innerColumns } from '../src/report/inner-events.ts';
import {
  interruptColumns,
  openInterruptColumns,
  slowInterruptColumns,
  timerColumns,
} from '../src/report/interrupts-columns.ts';
import { elementColumns } from '../src/report/leak-elements.ts';
import { leakQueueColumns } from '../src/report/leaks-columns.ts';
import {
  behindColumns,
  holderColumns,
  mutexColumns,
  openLockColumns,
  slowLockColumns,
} from '../src/report/locks-columns.ts';
import { machineColumns as machines, probeColumns } from '../src/report/machines-text.ts';
import { openPairColumns, slowPairColumns } from '../src/report/pairs-columns.ts';
import { delayColumns, hopColumns, requestQueueColumns, slowRequestColumns } from '../src/report/requests-columns.ts';
import { columnName } from '../src/report/span-rows.ts';
import { vcpuColumns } from '../src/report/vcpus-columns.ts';
import { causeColumns, lateColumns } from '../src/report/wakes-columns.ts';
import type { SpanKind } from '../src/spans/kind.ts';
import { kinds } from '../src/spans/kinds.ts';
import { dimensions } from '../src/views/exits.ts';
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
  'events types': () => columnTable(typeColumns),
  'events machines': () => columnTable(machineColumns),
  'exits rows': () =>
    columnTable([...groupColumns(dimensions), ...exitColumns, ...divisionColumns].filter(isOwn), { csv: true }),
  'exits slow': () => columnTable(slowExitColumns),
  'exits open': () => columnTable(openExitColumns),
  'inner events': () => columnTable(innerColumns),
  vcpus: () => columnTable(vcpuColumns, { csv: true }),
  'leaks queues': () => columnTable(leakQueueColumns),
  'leaks elements': () => columnTable(elementColumns, { csv: true }),
  'requests queues': () => columnTable(requestQueueColumns.filter(isOwn)),
  'requests hops': () => columnTable(hopColumns.filter(isOwn)),
  'requests delays': () => columnTable(delayColumns.filter(isOwn)),
  'requests slow': () => columnTable(slowRequestColumns),
  'locks mutexes': () => columnTable(mutexColumns),
  'locks behind': () => columnTable(behindColumns),
  'locks slow': () => columnTable(slowLockColumns),
  'locks holders': () => columnTable(holderColumns),
  'locks unfinished': () => columnTable(openLockColumns),
  'interrupts rows': () => columnTable(interruptColumns.filter(isOwn)),
  'interrupts open': () => columnTable(openInterruptColumns),
  'interrupts timers': () => columnTable(timerColumns),
  'interrupts slow': () => columnTable(slowInterruptColumns),
  'faults no progress': () => columnTable(stallColumns),
  'wakes rows': () => columnTable(causeColumns.filter(isOwn)),
  'wakes slow': () => columnTable(lateColumns),
  'pairs slow': () => columnTable(slowPairColumns),
  'pairs unfinished': () => columnTable(openPairColumns),
  'heat map': () => columnTable(heatColumns),
  'list machines': () => columnTable(machines, { csv: true }),
  'list probes': () => columnTable(probeColumns, { csv: true }),
  'diff rows': () => columnTable(diffTables.rows),
  'diff figures': () => columnTable(diffTables.sides),
  'diff changes': () => columnTable(diffTables.changes),
  'count rows': () => columnTable([...countKeys([]), ...countFigures, countOver], { csv: true }),
};

/** Not one of the figures, which have a table of their own. */
const figureKeys = new Set<string>(figures.flatMap((figure) => ('json' in figure ? [figure.json] : [])));
function isOwn({ key }: Column<never, never>): boolean {
  return !figureKeys.has(key);
}

/** The columns of an answer's rows in JSON; with `csv`, those of its CSV, too. */
function columnTable(columns: readonly Column<never, never>[], { csv = false } = {}): string {
  const rows = columns.flatMap((column) => {
    const forms = [
      ...(column.json === false ? [] : ['JSON']),
      ...(csv && column.csv !== false && column.type !== 'object' ? ['CSV'] : []),
    ];
    if (forms.length === 0) return [];
    const title = column.title === undefined || column.title === '' ? '' : `\`${column.title}\``;
    const row = [`\`${fullName(column, 'ns')}\``, title, types[column.type], column.meaning];
    return [csv ? [...row, forms.join(', ')] : row];
  });
  const titles = ['name', 'in tables', 'is', 'means', ...(csv ? ['in'] : [])];
  // A column of the table that says nothing is left out.
  const kept = titles.flatMap((_, c) => (rows.some((row) => row[c] !== '') ? [c] : []));
  const pick = (cells: readonly string[]) => kept.map((c) => cells[c] as string);
  return table(pick(titles), rows.map(pick));
}

const types = {
  text: 'text',
  number: 'a number',
  factor: 'a factor',
  rate: 'per second',
  share: 'a fraction of 1',
  length: 'a time',
  time: 'a moment',
  flag: 'true or false',
  object: 'several values',
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
