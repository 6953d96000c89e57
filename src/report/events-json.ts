import type { InventoryView } from '../views/inventory.ts';
import type { Question } from '../views/questions.ts';
import type { Reading } from '../views/reading.ts';
import type { EventsJson } from './answers.ts';
import { rowJson, rowsCsv, scopeOf } from './columns.ts';
import {
  eventScope,
  machineColumns,
  machineScope,
  processColumns,
  questionColumns,
  recordedTypeColumns,
  typeColumns,
} from './events-columns.ts';
import { ns } from './json.ts';
import { remarksJson } from './remarks.ts';
/** The same for JSON; its shape is described in docs/json.md. */
export function eventsJson(view: InventoryView, asked: readonly Question[], reading: Reading): EventsJson {
  const { clock } = view;
  const scope = eventScope(view);
  const isNs = clock.unit === 'ns';
  return {
    file: view.file,
    format: view.format,
    version: view.version,
    clock: clock.name,
    clock_unit: clock.unit,
    resolution: clock.resolution,
    ...(clock.ties === undefined || clock.ties.length === 0
      ? {}
      : { clock_ties: clock.ties.map(({ to, offset, source }) => ({ to, offset_ns: offset.toString(), source })) }),
    origin: view.origin.toString(),
    first_ns: isNs ? ns(view.first) : null,
    duration_ns: isNs ? ns(view.duration) : null,
    ...(clock.unit === 'ticks' ? { duration_ticks: ns(view.duration) } : {}),
    events: view.events,
    ...(view.repeated > 0 ? { repeated: view.repeated } : {}),
    cpus: view.cpus ?? null,
    cpus_seen: view.cpusSeen,
    types: view.types.map((type) => rowJson(typeColumns, type, scope)),
    processes: view.processes.map((process) => rowJson(processColumns, process, scope)),
    machines: view.machines.map((machine) => rowJson(machineColumns, machine, machineScope(view.machines))),
    answers: asked.map((question) => rowJson(questionColumns, question, scope)),
    ...remarksJson(reading),
  };
}

/** The event types as CSV, of one or several traces. */
export function eventsCsv(views: readonly InventoryView[]): string {
  const rows = views.flatMap((view) => view.types.map((type) => ({ ...type, view })));
  return rowsCsv(recordedTypeColumns, rows, scopeOf('ns', Number.NaN));
}
