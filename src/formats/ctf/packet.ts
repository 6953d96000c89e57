import type { Role } from './classes.ts';
import type { StreamKind } from './kinds.ts';
import type { Node } from './nodes.ts';
import { invalid, short, type Walker } from './walker.ts';

const magic = 0xc1fc1fc1n;

/** What a packet says of itself. Sizes are in bits. */
export type Packet = {
  kind: StreamKind;
  /** Position of the first event. */
  at: number;
  /** Undefined where it does not say: then it is all of the file. */
  size: number | undefined;
  content: number | undefined;
  begin: { value: bigint; bits: number } | undefined;
  end: bigint | undefined;
  /** How many events were discarded so far, as a counter of so many bits. */
  discarded: { value: bigint; bits: number } | undefined;
  sequence: { value: bigint; bits: number } | undefined;
  /** Which of the streams of this class; undefined where it does not say. */
  stream: bigint | undefined;
  /** Of which trace it says it is, in hexadecimal digits; '' where it does not. */
  uuid: string;
  cpu: number;
};

/** What is wrong with a packet, how far behind its beginning, and what should stand there. */
export type PacketProblem = { problem: string; at: number; expected: string };

/**
 * Reads a packet's header and context at position 0 of the walker: `'short'` where the bytes end before. `header` is the header of all
 * packets, `kindOf` the class of streams by number.
 */
export function readPacket(
  walker: Walker,
  header: Node | undefined,
  kindOf: (id: number | undefined) => StreamKind | undefined,
): Packet | PacketProblem | 'short' {
  const { roles } = walker;
  roles.clear();
  walker.uuid = '';
  walker.timeBits = 0;
  let at = header === undefined ? 0 : walker.skip(header, 0);
  if (at < 0) return failed(walker, at, 0);
  const found = roles.get('magic');
  if (found !== undefined && found !== magic)
    return { problem: `the magic number 0x${found.toString(16)}`, at: 0, expected: 'a packet, 0xc1fc1fc1' };
  const streamClass = roles.get('stream class');
  const kind = kindOf(streamClass === undefined ? undefined : Number(streamClass));
  if (kind === undefined)
    return {
      problem: `stream ${streamClass ?? 'without number'} is not declared`,
      at: 0,
      expected: 'a stream of the metadata',
    };
  walker.reserve(kind.registers);
  // Once more, for what the class's events refer to.
  if (kind.packetHeader !== undefined) at = walker.skip(kind.packetHeader, 0);
  const stream = roles.get('stream');
  if (kind.packetContext !== undefined) {
    const begin = at;
    at = walker.skip(kind.packetContext, at);
    if (at < 0) return failed(walker, at, begin);
  }
  const bitsOf = (role: Role) => bitsWith(kind.packetContext, role);
  const counted = (role: Role) => {
    const value = roles.get(role);
    return value === undefined ? undefined : { value, bits: bitsOf(role) };
  };
  const content = roles.get('content size');
  const size = roles.get('packet size') ?? content;
  const cpu = Number(roles.get('cpu') ?? -1n);
  const time = walker.timeBits > 0 ? { value: timeOf(walker), bits: walker.timeBits } : undefined;
  return {
    kind,
    at,
    size: size === undefined ? undefined : Number(size),
    content: content === undefined ? undefined : Number(content),
    begin: counted('begin') ?? time,
    end: roles.get('end'),
    discarded: counted('discarded'),
    sequence: counted('sequence number'),
    stream,
    uuid: walker.uuid,
    cpu: cpu >= 0 && cpu < 2 ** 31 ? cpu : -1,
  };
}

function failed(walker: Walker, at: number, begin: number): PacketProblem | 'short' {
  if (at === short) return 'short';
  return { problem: at === invalid ? walker.problem : 'no packet', at: begin >> 3, expected: 'a packet as declared' };
}

function timeOf({ timeHigh, timeLow }: Walker): bigint {
  return (BigInt(timeHigh) << 32n) | BigInt(timeLow);
}

/** How many bits the field with a role has. */
function bitsWith(node: Node | undefined, role: Role): number {
  if (node === undefined) return 0;
  if (node.role === role) return node.kind === 'varint' ? 64 : node.size;
  return node.children.reduce((most, child) => Math.max(most, bitsWith(child, role)), 0);
}
