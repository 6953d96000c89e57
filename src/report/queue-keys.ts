import { type Verdict, verdicts } from '../views/leaks.ts';
import type { QueueName } from '../views/queue-name.ts';
import { columnsOf, type RowJson, type Scope } from './columns.ts';

/** The columns that say which virtqueue a row is of. */
export const queueKeys = <Row, S extends Scope = Scope>(name: (row: Row) => QueueName) =>
  columnsOf<Row, S>()([
    {
      key: 'pid',
      type: 'number',
      isId: true,
      meaning: "QEMU's process",
      of: (row): number | null => name(row).pid ?? null,
    },
    {
      key: 'device',
      type: 'text',
      meaning: 'kind of the device: `virtio-blk`',
      of: (row): string | null => (name(row).kind === undefined ? null : `virtio-${name(row).kind}`),
    },
    { key: 'vdev', type: 'text', meaning: "the device's address", of: (row): string | null => name(row).vdev ?? null },
    {
      key: 'queue',
      type: 'number',
      isId: true,
      meaning: 'number of the queue',
      of: (row): number | null => name(row).number ?? null,
    },
    {
      key: 'role',
      type: 'text',
      meaning: 'what the queue is for: `request`, `transmit`',
      of: (row): string | null => name(row).role || null,
    },
    { key: 'vq', type: 'text', meaning: "the queue's address", of: (row) => name(row).vq },
  ]);

const itself = queueKeys<QueueName>((name) => name);

export type QueueNameJson = RowJson<typeof itself>;

/** A verdict as a name: `held_on_error`. */
type VerdictName<Text extends string> = Text extends `${infer First} ${infer Rest}`
  ? `${First}_${VerdictName<Rest>}`
  : Text;

/** How many elements have which verdict. */
export type VerdictsJson = { [Name in Verdict as VerdictName<Name>]: number };

export const verdictKey = (verdict: Verdict) => verdict.replaceAll(' ', '_') as keyof VerdictsJson;

/** How many elements have each verdict, for programs. */
export function verdictsJson(counts: Record<Verdict, number>): VerdictsJson {
  return Object.fromEntries(verdicts.map((verdict) => [verdictKey(verdict), counts[verdict]])) as VerdictsJson;
}
