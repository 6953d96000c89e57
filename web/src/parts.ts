import { type Child, el } from './dom.ts';

/** A part of the page, which links lead to by its id. */
export function pagePart(id: string, title: string, ...children: Child[]): HTMLElement {
  return el(
    'section',
    { id, 'aria-labelledby': `${id}-title`, tabindex: -1 },
    el('h2', { id: `${id}-title` }, title),
    ...children,
  );
}

/** One of those that were slow, or never ended: a line, and what it opens to. */
export function slowEntry(open: boolean, line: readonly Child[], inner: HTMLElement): HTMLDetailsElement {
  return el('details', { class: 'slow', open }, el('summary', {}, ...line), inner);
}

/** What such a one opens to. */
export function inner(...children: Child[]): HTMLElement {
  return el('div', { class: 'inner' }, ...children);
}

/** A table of rows that belong together; `caption` is for screen readers. */
export function innerTable(kind: string, caption: string, rows: readonly Child[]): HTMLElement {
  return el('table', { class: kind }, el('caption', { class: 'visually-hidden' }, caption), el('tbody', {}, ...rows));
}
