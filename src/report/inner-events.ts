import type { InnerEvent } from '../spans/inner-events.ts';
import type { Unit } from '../views/figures.ts';
import { columnsOf, forPeople, type RowJson, rowJson, rowsTable, type Scope } from './columns.ts';
import { escapeText } from './escape.ts';
import type { Terminal } from './terminal.ts';
import { cycles, duration } from './units.ts';

/** What happened within a slow span. */
type InnerScope = Scope & {
  /** The span's own CPU, where a table is to name others. */
  cpu?: number;
};

/** The events within a slow span: of an exit, a request, a wait, a pair. */
export const innerColumns = columnsOf<InnerEvent, InnerScope>()([
  {
    key: 'offset',
    type: 'length',
    title: '',
    meaning: 'since the span began',
    of: ({ offset }) => offset,
    text: ({ offset }, { unit }) => `+${unit === 'ns' ? duration(offset) : cycles(offset)}`,
  },
  forPeople<InnerEvent, InnerScope>({
    type: 'text',
    title: '',
    of: ({ cpu }, scope) => (cpu === scope.cpu || cpu < 0 ? '' : `CPU ${cpu}`),
    when: ({ cpu }) => cpu !== undefined,
  }),
  {
    key: 'event',
    type: 'text',
    title: '',
    shrink: 16,
    meaning: 'its name',
    of: ({ name }) => name,
    text: ({ name }) => escapeText(name),
  },
  {
    key: 'cpu',
    type: 'number',
    isId: true,
    meaning: 'CPU on which it happened',
    of: ({ cpu }): number | null => (cpu < 0 ? null : cpu),
  },
  {
    key: 'effect',
    type: 'text',
    meaning: "what an event of the scheduler's did to the span's thread",
    of: ({ effect }): string | undefined => effect,
  },
  {
    key: 'brief',
    type: 'text',
    meaning: 'the same with the other thread',
    of: ({ brief }): string | undefined => brief,
  },
  {
    key: 'text',
    type: 'text',
    title: '',
    shrink: 20,
    meaning: "as the usual tool for the trace's format prints it",
    of: ({ text }) => text.trimEnd(),
    text: ({ text, brief }) => escapeText(brief ?? text.trimEnd()),
  },
]);

export type InnerEventJson<U extends Unit = Unit> = RowJson<typeof innerColumns, U>;

export function innerJson<U extends Unit>(events: readonly InnerEvent[], scope: Scope<U>): InnerEventJson<U>[] {
  return events.map((event) => rowJson(innerColumns, event, scope));
}

/** The events as a table, indented; `cpu` is that of their span, where other CPUs are to be named. */
export function innerTable(events: readonly InnerEvent[], scope: InnerScope, terminal: Terminal, indent = 2): string {
  return indented(rowsTable(innerColumns, events, scope, terminal), indent);
}

export function indented(text: string, by = 2): string {
  return text.replace(/^(?=.)/gm, ' '.repeat(by));
}
