import type { RunParts } from '../spans/run-history.ts';
import type { LockRole } from '../views/lock-answers.ts';
import { columnsOf, type RowJson, rowJson, type Scope } from './columns.ts';

/** The columns that say which thread a row is of, by what it is for. */
export const roleKeys = <Row, S extends Scope = Scope>(role: (row: Row) => LockRole) =>
  columnsOf<Row, S>()([
    { key: 'role', type: 'text', meaning: 'what its thread is for', of: (row) => role(row).kind },
    {
      key: 'vcpu',
      type: 'number',
      isId: true,
      meaning: 'number of the vCPU, of such a thread',
      of: (row): number | null | undefined => (role(row).kind === 'vcpu' ? (role(row).vcpu ?? null) : undefined),
    },
    {
      key: 'name',
      type: 'text',
      meaning: "the thread's name, where known",
      of: (row): string | undefined => role(row).name,
    },
    { key: 'tid', type: 'number', isId: true, meaning: 'the thread', of: (row) => role(row).tid },
    {
      key: 'pid',
      type: 'number',
      isId: true,
      meaning: 'its process',
      of: (row): number | null => role(row).pid ?? null,
    },
  ]);

const itself = roleKeys<LockRole>((role) => role);

export type RoleJson = RowJson<typeof itself>;

export const roleJson = (role: LockRole): RoleJson => rowJson(itself, role, { unit: 'ns', seconds: Number.NaN });

/** What a thread did meanwhile, where the scheduler's events tell. */
export const ranKeys = <Row, S extends Scope = Scope>(ran: (row: Row) => RunParts | undefined) =>
  columnsOf<Row, S>()([
    {
      key: 'running',
      type: 'length',
      meaning: 'how long its thread ran meanwhile',
      of: (row): number | null | undefined => ran(row)?.running,
    },
    {
      key: 'preempted',
      type: 'length',
      meaning: 'how long it was preempted',
      of: (row): number | null | undefined => ran(row)?.preempted,
    },
    {
      key: 'blocked',
      type: 'length',
      meaning: 'how long it slept',
      of: (row): number | null | undefined => ran(row)?.blocked,
    },
  ]);
