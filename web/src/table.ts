import { el, refill } from './dom.ts';

/** A column: how a row's cell reads, and what it is sorted by (not at all where there is nothing). */
export type Column<Row> = {
  title: string;
  /** For numbers, which stand at the right. */
  number?: boolean;
  cell: (row: Row) => string | Node;
  key?: (row: Row) => number | string;
};

/**
 * A table that sorts by a click on a column's title, and that can be searched. `kept` rows (totals) stay at the end. Where the
 * rows change, `show` keeps the order that the reader chose.
 */
export class Table<Row> {
  readonly element: HTMLElement;
  readonly #columns: readonly Column<Row>[];
  readonly #body = el('tbody');
  readonly #heads: HTMLElement[];
  readonly #search: HTMLInputElement | undefined;
  #rows: readonly Row[] = [];
  #kept: readonly Row[] = [];
  #by: { column: number; falls: boolean } | undefined;

  constructor(caption: string, columns: readonly Column<Row>[], search?: string) {
    this.#columns = columns;
    this.#heads = columns.map((column, c) =>
      el(
        'th',
        { scope: 'col', class: column.number === true ? 'number' : undefined },
        column.key === undefined
          ? column.title
          : el('button', { type: 'button', class: 'sort', click: () => this.#sort(c) }, column.title),
      ),
    );
    if (search !== undefined) {
      this.#search = el('input', {
        type: 'search',
        placeholder: search,
        'aria-label': search,
        input: () => this.#fill(),
      });
    }
    this.element = el(
      'div',
      { class: 'table' },
      this.#search,
      el(
        'div',
        { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
        el(
          'table',
          {},
          el('caption', { class: 'visually-hidden' }, caption),
          el('thead', {}, el('tr', {}, ...this.#heads)),
          this.#body,
        ),
      ),
    );
  }

  show(rows: readonly Row[], kept: readonly Row[] = []): void {
    this.#rows = rows;
    this.#kept = kept;
    this.#fill();
  }

  #sort(column: number): void {
    const falls = this.#by?.column === column ? !this.#by.falls : this.#columns[column]?.number === true;
    this.#by = { column, falls };
    for (const [c, head] of this.#heads.entries()) {
      if (c === column) head.setAttribute('aria-sort', falls ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    }
    this.#fill();
  }

  #fill(): void {
    const lines = (rows: readonly Row[], kept: boolean) =>
      rows.map((row) =>
        el(
          'tr',
          { class: kept ? 'kept' : undefined },
          ...this.#columns.map((column, c) =>
            el(
              c === 0 ? 'th' : 'td',
              { scope: c === 0 ? 'row' : undefined, class: column.number === true ? 'number' : undefined },
              column.cell(row),
            ),
          ),
        ),
      );
    const wanted = this.#search?.value.trim().toLowerCase() ?? '';
    const rows = lines(this.#ordered(), false).filter((line) => line.textContent?.toLowerCase().includes(wanted));
    refill(this.#body, ...rows, ...lines(this.#kept, true));
  }

  #ordered(): readonly Row[] {
    const key = this.#by === undefined ? undefined : this.#columns[this.#by.column]?.key;
    if (key === undefined) return this.#rows;
    const sign = this.#by?.falls === true ? -1 : 1;
    return [...this.#rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (typeof x === 'string' || typeof y === 'string') {
        return sign * String(x).localeCompare(String(y), 'en', { numeric: true });
      }
      // What has no number comes last, whichever way.
      if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
      return sign * (x - y);
    });
  }
}
