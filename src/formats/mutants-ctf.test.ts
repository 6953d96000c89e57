import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jsonMetadata, jsonStream, tsdlMetadata, tsdlStream } from '../../test/ctf-types.ts';
import { type BitWriter, inPackets, lttngMetadata, lttngPacket } from '../../test/ctf-writer.ts';
import { endWell } from '../../test/mutants.ts';

const events = `
event { name = "kvm_x86_entry"; id = 0; stream_id = 0; fields := struct { uint32_t _vcpu_id; }; };
event { name = "lttng_text"; id = 31; stream_id = 0; fields := struct { string _text; uint8_t _n; uint64_t _list[_n]; }; };`;
const metadata = lttngMetadata({ events, context: 'int32_t _tid; int32_t _pid;' });
const fields = (id: number) => (out: BitWriter) => {
  out.int(5, 32).int(4, 32);
  if (id === 0) out.int(1, 32);
  else out.text('some text').int(2, 8).int(1, 64).int(2, 64);
};
const packets = Buffer.concat(
  [0, 1, 2].map((sequence) =>
    lttngPacket({
      cpu: 0,
      begin: sequence * 1000,
      end: sequence * 1000 + 900,
      sequence,
      discarded: sequence,
      padding: 20,
      events: [0, 31, 0, 0, 31].map((id, n) => ({ id, time: sequence * 1000 + 100 * n, fields: fields(id) })),
    }),
  ),
);
const every = Buffer.concat(Array.from({ length: 20 }, () => tsdlStream(true)));

/** A folder of a trace of which one file is damaged. */
const folder = (damaged: 'metadata' | 'stream', other: Uint8Array | string) => (path: string, mutant: Uint8Array) => {
  mkdirSync(path);
  writeFileSync(join(path, damaged), mutant);
  writeFileSync(join(path, damaged === 'metadata' ? 'stream' : 'metadata'), other);
};

endWell({ "CTF, a stream of LTTng's": () => packets }, folder('stream', metadata));
endWell({ 'CTF, metadata in TSDL': () => Buffer.from(metadata) }, folder('metadata', packets));
endWell({ 'CTF, metadata in packets': () => inPackets(metadata) }, folder('metadata', packets));
endWell({ 'CTF, a stream of every type': () => every }, folder('stream', tsdlMetadata(true)));
endWell({ 'CTF, metadata of every type': () => Buffer.from(tsdlMetadata(true)) }, folder('metadata', every));
endWell({ 'CTF 2, a stream of every type': () => jsonStream(true) }, folder('stream', jsonMetadata(true)));
endWell(
  { 'CTF 2, metadata of every type': () => Buffer.from(jsonMetadata(true)) },
  folder('metadata', jsonStream(true)),
);
