import type { ExitRowJson, SlowExitJson } from '../../src/report/answers.ts';
import { unpackCells } from '../../src/report/cells-pack.ts';
import type { PageData, PictureFrame } from '../../src/report/page-data.ts';
import { type Filter, Picture, type Region } from './picture.ts';

/** What a server says of the spans of a region. */
export type RegionAnswer = { rows: ExitRowJson[]; slow: SlowExitJson[]; over: number };

type FinerPicture = Pick<PictureFrame, 'from' | 'step' | 'bins'> & { cells: string };

/** How often the server is asked whether the trace has grown, in ms. */
const interval = 2000;

/** The page's data: in the page itself, or at the server that serves it. */
export async function loadData(): Promise<PageData> {
  if (document.getElementById('virtap-data') === null) return (await fetchJson('/api/page')) as PageData;
  return JSON.parse(new TextDecoder().decode(await block('data'))) as PageData;
}

/** The picture of a section. */
export async function loadPicture(kind: string, frame: PictureFrame, { live }: PageData): Promise<Picture> {
  const bytes = live === undefined ? await block(kind) : await inflate(decoded(live.cells[kind] ?? ''));
  return new Picture(frame, unpackCells(bytes, frame));
}

/** Asks the server for the exits of a region that pass a filter. */
export async function askRegion(picture: Picture, region: Region | undefined, filter: Filter): Promise<RegionAnswer> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(region ?? {})) query.set(name, String(value));
  picture.frame.dimensions.forEach(({ title, values }, d) => {
    const value = filter.values[d];
    if (value !== undefined) query.set(title, values[value] as string);
  });
  if (filter.apart) query.set('halts', '1');
  return (await fetchJson(`/api/exits?${query}`)) as RegionAnswer;
}

/** Asks the server what happened in one exit. */
export async function askExit(exit: SlowExitJson): Promise<SlowExitJson> {
  const query = new URLSearchParams({
    begin: String(exit.begin_ns ?? exit.begin_cycles),
    duration: String(exit.duration_ns ?? exit.duration_cycles),
    tid: String(exit.tid),
  });
  return (await fetchJson(`/api/exit?${query}`)) as SlowExitJson;
}

/** A part of the time as a picture of its own, finer than that of the whole. */
export async function askPicture({ frame }: Picture, { from, to }: Pick<Region, 'from' | 'to'>): Promise<Picture> {
  const query = new URLSearchParams({ from: String(from), to: String(to) });
  const { cells, ...finer } = (await fetchJson(`/api/picture?${query}`)) as FinerPicture;
  const bytes = await inflate(decoded(cells));
  return new Picture({ ...frame, ...finer }, unpackCells(bytes, finer));
}

/** Calls `grown` whenever the server has read more of the trace than this state of it. Never ends. */
export async function follow(generation: string, grown: () => void): Promise<void> {
  let last: unknown = generation;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, interval));
    const now = await fetchJson('/api/generation').catch(() => last);
    if (now !== last) grown();
    last = now;
  }
}

async function get(path: string): Promise<Response> {
  let response = await fetch(path);
  // Too many ask at once: the server says when to come again.
  for (let n = 0; n < 10 && response.status === 503; n++) {
    await new Promise((resolve) => setTimeout(resolve, 1000 * Number(response.headers.get('Retry-After') ?? 1)));
    response = await fetch(path);
  }
  if (!response.ok) throw new Error(await response.text());
  return response;
}

async function fetchJson(path: string): Promise<unknown> {
  return (await get(path)).json();
}

/** A deflated block of the page. */
async function block(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const text = document.getElementById(`virtap-${name}`)?.textContent ?? '';
  return inflate(decoded(text));
}

function decoded(base64: string): ArrayBuffer {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer;
}

async function inflate(bytes: ArrayBuffer): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
