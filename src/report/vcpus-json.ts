import { heldOutside } from '../views/vcpus.ts';
import { headJson } from './answer.ts';
import type { VcpusJson } from './answers.ts';
import { rowJson, rowsCsv } from './columns.ts';
import { number, whole } from './json.ts';
import { remarksJson } from './remarks.ts';
import { untoldJson } from './vcpu-states.ts';
import type { VcpusAnswer } from './vcpus-columns.ts';
import { otherColumns, vcpuColumns, vcpuScope } from './vcpus-columns.ts';
/** The whole answer for programs: docs/json.md. */
export function vcpusJson({ trace, result, reading }: VcpusAnswer): VcpusJson {
  const { rows, untold, timeline } = result;
  const scope = vcpuScope(result);
  const { file, format, clock, origin } = headJson(trace, scope, result.duration);
  const held = heldOutside(rows);
  return {
    file,
    format,
    clock,
    origin,
    vcpus: rows.map((row) => rowJson(vcpuColumns, row, scope)),
    timeline: timeline && { from_ns: whole(timeline.from), time_step_ns: whole(timeline.step) },
    held_outside_guest: { total_ns: whole(held.total), share: number(held.share) },
    not_told_apart: untoldJson(untold),
    ran_instead: result.others.map((other) => rowJson(otherColumns, other, scope)),
    ...remarksJson(reading),
  };
}

/** One row a vCPU. */
export function vcpusCsv({ result }: VcpusAnswer): string {
  return rowsCsv(vcpuColumns, result.rows, vcpuScope(result));
}
