import type { Unit } from '../../src/report/answers.ts';
import { cellText, type Column as Declared, fullName } from '../../src/report/columns.ts';
import { digitsOf, figures } from '../../src/views/figures.ts';
import type { Column } from './table.ts';

type AnyColumns = readonly Declared<never, never>[];

/** How cells are read from rows as JSON has them. */
type Reading<Row> = {
  unit: Unit;
  /** How many samples percentiles rest on. */
  samples?: (row: Row) => number;
};

/** The columns of an answer that are called so, as columns of a page's table, whose rows are those of the answer's JSON. */
export function declared<Row extends object>(
  columns: AnyColumns,
  titles: readonly string[],
  { unit, samples }: Reading<Row>,
): Column<Row>[] {
  return titles.map((title) => {
    const column = columns.find((one) => one.title === title && one.json !== false);
    if (column === undefined) throw new Error(`no column is called ${title}`);
    const { type, key } = column;
    const name = fullName(column, unit);
    const isFigure = figures.some((figure) => figure.name === key);
    const number = (row: Row) => {
      const value: unknown = Reflect.get(row, name);
      return typeof value === 'number' ? value : Number.NaN;
    };
    if (type === 'text') {
      const text = (row: Row) => String(Reflect.get(row, name) ?? '');
      return { title, cell: text, key: text };
    }
    const digits = (row: Row) => (isFigure && samples !== undefined ? digitsOf(key, samples(row)) : 4);
    return { title, number: true, cell: (row) => cellText(type, number(row), unit, digits(row)), key: number };
  });
}
