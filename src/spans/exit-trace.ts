import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { gspr, idle, isExit, roleOf, wfx } from './exit-events.ts';
import {
  instructionReason,
  type ReasonDecoder,
  type Reasons,
  type ReasonTable,
  reasonDecoder,
} from './exit-reasons.ts';
import { LossTable } from './losses.ts';
import { TidTable } from './tid-table.ts';

const none = -1;

/** A pair whose thread left its CPU between exit and entry. */
export type MovedPair = { begin: number; end: number };

/** What pairing knows of the trace: its types, its threads, its losses. */
export class TraceState {
  /** By type id: what the event is to us, and how to read it. */
  roles = new Uint8Array(64);
  readonly decoders: (ReasonDecoder | undefined)[] = [];
  readonly vcpus: FieldReader[] = [];
  readonly rips: FieldReader[] = [];
  readonly wfe: (FieldReader | undefined)[] = [];
  /** Of events that name the reason of the exit that is open on their thread. */
  readonly naming: (ReasonDecoder | undefined)[] = [];
  readonly threads = new TidTable();
  /** The first type of exit that has its codes at fixed places; the others go through their decoders. */
  tableType = none;
  table: ReasonTable = { codeAt: 0, isaAt: 0, end: 0, little: true, ids: new Uint16Array(0), isa: none };
  readonly losses = new LossTable(true);
  /** The latest pairs by the CPU of their exit, where the entry was on another. */
  readonly migrated = new Map<number, MovedPair[]>();
  #types = 0;

  learnTypes(trace: Trace, reasons: Reasons): void {
    const { types } = trace;
    for (; this.#types < types.length; this.#types++) {
      const type = types[this.#types] as EventType;
      const id = this.#types;
      if (id === this.roles.length) {
        const roles = new Uint8Array(id * 2);
        roles.set(this.roles);
        this.roles = roles;
      }
      this.roles[id] = roleOf(type);
      this.wfe[id] = type.name === wfx ? (type.reader('is_wfe') ?? absent) : undefined;
      this.naming[id] = type.name === gspr || type.name === idle ? instructionReason(type, reasons) : undefined;
      const decoder = isExit(type) ? reasonDecoder(type, reasons) : undefined;
      this.decoders[id] = decoder;
      if (this.tableType < 0 && decoder?.table !== undefined) {
        this.tableType = id;
        this.table = decoder.table;
      }
      this.vcpus[id] = type.reader('vcpu_id') ?? type.reader('id') ?? type.reader('vcpu') ?? absent;
      this.rips[id] =
        ['guest_rip', 'vcpu_pc', 'sepc', 'pc', 'pswaddr']
          .map((name) => type.reader(name))
          .find((r) => r !== undefined) ?? absent;
    }
  }

  /** Remembers a pair whose thread left a CPU between exit and entry. */
  migratedFrom(cpu: number, begin: number, end: number): void {
    let pairs = this.migrated.get(cpu);
    if (pairs === undefined) {
      pairs = [];
      this.migrated.set(cpu, pairs);
    }
    pairs.push({ begin, end });
    // Only the latest can still turn out to straddle a loss.
    if (pairs.length > 2 * maxMigrated) pairs.splice(0, maxMigrated);
  }

  /** How many migrated pairs a loss makes doubtful: these are forgotten. */
  doubt(loss: Loss): number {
    let doubtful = 0;
    for (const [cpu, pairs] of this.migrated) {
      if (loss.cpu >= 0 && loss.cpu !== cpu) continue;
      const sure = pairs.filter(({ begin, end }) => loss.to <= begin || loss.from >= end);
      doubtful += pairs.length - sure.length;
      this.migrated.set(cpu, sure);
    }
    return doubtful;
  }
}

const maxMigrated = 64;
