import type { ExitRowJson, SlowExitJson } from '../../src/report/answers.ts';
import { unpackCells } from '../../src/report/cells-pack.ts';
import type { PageData, PictureFrame } from '../../src/report/page-data.ts';
import { type Filter, Picture, type Region } from './picture.ts';

/** What a server says of the spans of a region. */
export type RegionAnswer = { rows: ExitRowJson[]; slow: SlowExitJson[]; over: number };

/** The page's data: in the page itself, or at the server that serves it. */
export async function loadData(): Promise<PageData> {
  if (document.getElementById('virtap-data') === null) return (await fetchJson('/api/page')) as PageData;
  return JSON.parse(new TextDecoder().decode(await block('data'))) as PageData;
}

/** The picture of a section. */
export async function loadPicture(kind: string, frame: PictureFrame): Promise<Picture> {
  const inside = document.getElementById(`virtap-${kind}`) !== null;
  const bytes = inside ? await block(kind) : await inflate(await (await get(`/api/cells/${kind}`)).arrayBuffer());
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

/** Loads the page anew whenever the server has read more of the trace; what the reader picked stands in the address. */
export async function follow(): Promise<void> {
  const first = await fetchJson('/api/generation');
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const now = await fetchJson('/api/generation').catch(() => first);
    if (now !== first) location.reload();
  }
}

async function get(path: string): Promise<Response> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(await response.text());
  return response;
}

async function fetchJson(path: string): Promise<unknown> {
  return (await get(path)).json();
}

/** A deflated block of the page. */
async function block(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const text = document.getElementById(`virtap-${name}`)?.textContent ?? '';
  return inflate(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

async function inflate(bytes: ArrayBuffer): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
