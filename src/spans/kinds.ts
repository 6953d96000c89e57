import type { SpanKind } from './kind.ts';
import { exit } from './kinds/exit.ts';
import { fault } from './kinds/fault.ts';
import { halt } from './kinds/halt.ts';
import { interrupt } from './kinds/interrupt.ts';
import { lockHold, lockWait } from './kinds/lock.ts';
import { migration } from './kinds/migration.ts';
import { request } from './kinds/request.ts';
import { vcpuState } from './kinds/vcpu-state.ts';

/** Every kind of span. A new one is a file in `kinds/` and a line here. */
export const kinds = [exit, vcpuState, request, lockWait, lockHold, migration, halt, interrupt, fault] as const;

export type Kind = (typeof kinds)[number];
/** The kind that is called so: `lockWait`, `wait`, `waits`. */
export function kindNamed(name: string): SpanKind | undefined {
  return (kinds as readonly SpanKind[]).find((kind) => [kind.name, kind.word, kind.plural].includes(name));
}
