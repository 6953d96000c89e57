import { deflateRawSync } from 'node:zlib';
import type { Cells } from '../views/span-cells.ts';
import { packCells } from './cells-pack.ts';

/** Cells, packed and deflated, in at most `room` bytes: time bins are merged until they are. */
export function cellsWithin(room: number, cells: () => Cells, coarsen: () => void): Uint8Array {
  for (;;) {
    const now = cells();
    const packed = deflateRawSync(packCells(now));
    if (packed.length <= room || now.bins <= 1) return packed;
    coarsen();
  }
}
