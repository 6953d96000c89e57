/*
 * What a CTF trace's metadata declare, the same for CTF 1.8 (TSDL) and CTF 2 (JSON). Sources: diamon.org/ctf (CTF v1.8.3, CTF2-SPECRC-9.0),
 * and babeltrace's reading of them where the texts leave it open. Sizes and alignments are in bits.
 */

/** The value that a length or a selection refers to. */
export type Reference = {
  /** Where the search begins; undefined for the innermost structure and then those around it, as TSDL does. */
  origin: Scope | undefined;
  path: readonly string[];
};

/** The parts of a packet and of an event record, in their order. */
export const scopes = [
  'packet header',
  'packet context',
  'event header',
  'stream event context',
  'event context',
  'fields',
] as const;
export type Scope = (typeof scopes)[number];

/** What a value is for, apart from being read. */
export type Role =
  | 'magic'
  | 'uuid'
  | 'stream class'
  | 'stream'
  | 'event class'
  | 'time'
  | 'begin'
  | 'end'
  | 'packet size'
  | 'content size'
  | 'discarded'
  | 'sequence number'
  | 'cpu';

/** A name for values from `low` to `high`. */
export type Label = { name: string; low: bigint; high: bigint };

export type IntClass = {
  kind: 'int';
  size: number;
  align: number;
  signed: boolean;
  /** Undefined for the trace's own byte order. */
  little: boolean | undefined;
  base: number;
  /** A character of a text, where it stands in an array. */
  text: boolean;
  labels: readonly Label[] | undefined;
  /** Name of the clock that it is a time of. */
  clock: string | undefined;
  roles: readonly Role[];
};
/** LEB128, of CTF 2. */
export type VarintClass = Omit<IntClass, 'kind' | 'size' | 'align' | 'little' | 'text'> & { kind: 'varint' };
export type FloatClass = { kind: 'float'; size: number; align: number; little: boolean | undefined };
/** Text up to a NUL of `unit` bytes. */
export type StringClass = { kind: 'string'; encoding: string };
export type StructClass = {
  kind: 'struct';
  align: number;
  members: { name: string; class: FieldClass }[];
};
export type ArrayClass = {
  kind: 'array';
  /** At least this, and as its elements. */
  align: number;
  element: FieldClass;
  length: number | Reference;
  /** The encoding of CTF 2's texts with a length; undefined where it is none. */
  encoding: string | undefined;
  /** Whether all of it says which trace it is of. */
  roles: readonly Role[];
};
export type VariantClass = {
  kind: 'variant';
  selector: Reference | undefined;
  /** In TSDL, an option is what the selector's label calls it: `ranges` is undefined. */
  options: { name: string; ranges: readonly Label[] | undefined; class: FieldClass }[];
  /** An optional field: nothing is there where nothing is selected. */
  optional: boolean;
};
export type FieldClass = IntClass | VarintClass | FloatClass | StringClass | StructClass | ArrayClass | VariantClass;

export type ClockClass = {
  name: string;
  /** What is the same for two clocks of which one moment has one value; '' where it is not said. */
  uuid: string;
  /** Cycles per second. */
  frequency: bigint;
  /** What its value 0 is: seconds and cycles since the origin. */
  seconds: bigint;
  cycles: bigint;
  /** Whether the origin is 1970, as it mostly is. */
  epoch: boolean;
};

export type StreamClass = {
  id: number;
  header: FieldClass | undefined;
  packetContext: FieldClass | undefined;
  context: FieldClass | undefined;
  /** The clock of its times, where it says so apart from the times themselves. */
  clock: string | undefined;
};

export type EventClass = {
  id: number;
  stream: number;
  name: string;
  context: FieldClass | undefined;
  fields: FieldClass | undefined;
  /** Where it is declared in the metadata file. */
  offset: number;
};

export type Metadata = {
  /** 1 or 2. */
  major: number;
  little: boolean;
  uuid: string;
  environment: ReadonlyMap<string, string>;
  clocks: ReadonlyMap<string, ClockClass>;
  packetHeader: FieldClass | undefined;
  streams: ReadonlyMap<number, StreamClass>;
  events: readonly EventClass[];
};

/** A value of 8 bits, as texts and blobs are made of. */
export function byteClass(text: boolean): IntClass {
  return {
    kind: 'int',
    size: 8,
    align: 8,
    signed: false,
    little: undefined,
    base: text ? 10 : 16,
    text,
    labels: undefined,
    clock: undefined,
    roles: [],
  };
}

/** Bytes of memory that a declared thing takes; measured. */
export const classBytes = 200;
/** How deep structures may be in each other. */
export const deepest = 64;
/** Larger alignments, in bits, no machine has. */
export const largestAlign = 1 << 16;
