/**
 * Measures what a reader waits for in the report and the explorer, on generated traces, in headless Chromium; prints the table of
 * README.md as Markdown:
 *
 *     node web/bench/page.ts [MILLIONS …]        # 1, 10 and 50 million events where none are given
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from '../../bench/generate.ts';
import { bytes, count } from '../../src/report/units.ts';
import { type OpenPage, startBrowser } from '../e2e/browser.ts';

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'virtap-page-bench-'));
const environment = { ...process.env, XDG_CACHE_HOME: join(folder, 'cache') };
const virtap = join(root, 'virtap');
/** How often each of what a page does is measured; the median counts. */
const times = 5;

const sizes = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [1, 10, 50];
const browser = await startBrowser();
try {
  console.log(
    '| events | exits | report made | page | first picture | brush to table | index made | explorer starts | its first picture | its brush to table | an exit opened |',
  );
  console.log('|---|---|---|---|---|---|---|---|---|---|---|');
  for (const millions of sizes) console.log(`| ${(await measure(millions * 1e6)).join(' | ')} |`);
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}

async function measure(events: number): Promise<string[]> {
  const file = join(folder, 'trace.dat');
  const made = await generate('trace.dat', events, file);
  const page = join(folder, 'report.html');
  const report = timed(() =>
    spawnSync(virtap, ['report', '-o', page, file], { stdio: ['ignore', 'ignore', 'inherit'] }),
  );
  const fromFile = await read(`file://${page}`);
  const first = await start(file);
  await first.end();
  const second = await start(file);
  const live = await read(second.address, true);
  await second.end();
  rmSync(file);
  return [
    count(made),
    count(fromFile.exits),
    seconds(report),
    bytes(statSync(page).size),
    milliseconds(fromFile.picture),
    milliseconds(fromFile.brush),
    seconds(first.took),
    milliseconds(second.took),
    milliseconds(live.picture),
    milliseconds(live.brush),
    milliseconds(live.opened),
  ];
}

/** Opens a page several times: how long until the picture is drawn, and from a brush over a fifth of the time to the table of it. */
async function read(
  address: string,
  opens = false,
): Promise<{ exits: number; picture: number; brush: number; opened: number }> {
  const pictures: number[] = [];
  const brushes: number[] = [];
  let exits = 0;
  let opened = 0;
  for (let n = 0; n < times; n++) {
    const open = await browser.open(address);
    pictures.push(await open.page.evaluate(firstPicture));
    exits = await open.page.$eval('#exits tr.kept:last-child td:nth-child(3)', (cell) =>
      Number(cell.textContent?.replaceAll(',', '')),
    );
    brushes.push(await brush(open, 0.1 * (n + 1)));
    if (opens && n === times - 1) opened = await openLast(open);
    await open.page.close();
  }
  return { exits, picture: median(pictures), brush: median(brushes), opened };
}

/** From the navigation to the moment at which the heat map is drawn. */
function firstPicture(): Promise<number> {
  return new Promise((resolve) => {
    const look = () => {
      if (document.querySelector('#exits canvas') === null) setTimeout(look, 1);
      else requestAnimationFrame(() => resolve(performance.now()));
    };
    look();
  });
}

/** Selects a fifth of the time with the mouse, and waits for its figures. */
async function brush({ page }: OpenPage, from: number): Promise<number> {
  const over = page.locator('.u-over');
  await over.scrollIntoViewIfNeeded();
  const box = await over.boundingBox();
  if (box === null) throw new Error('there is no picture');
  const at = (x: number, y: number) => [box.x + box.width * x, box.y + box.height * y] as const;
  await page.mouse.move(...at(from, 0.02));
  await page.mouse.down();
  await page.mouse.move(...at(from + 0.2, 0.98), { steps: 3 });
  const shown = await page.evaluateHandle(() => {
    let began = Number.NaN;
    const note = () => {
      began = performance.now();
    };
    addEventListener('mouseup', note, { capture: true });
    const section = document.querySelector('#exits') as HTMLElement;
    const drawn = new Promise<number>((resolve) => {
      new MutationObserver(() => {
        if (/within an eighth|From the trace itself/.test(section.textContent ?? ''))
          requestAnimationFrame(() => resolve(performance.now() - began));
      }).observe(section, { subtree: true, childList: true, characterData: true });
    });
    return { drawn };
  });
  await page.mouse.up();
  return shown.evaluate(({ drawn }) => drawn);
}

/** Opens the last exit of the list that was picked, of which the trace must be read. */
function openLast({ page }: OpenPage): Promise<number> {
  return page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        const exit = [...document.querySelectorAll('#slow-exits + div details')].at(-1) as HTMLDetailsElement;
        const began = performance.now();
        new MutationObserver(() => {
          if (exit.querySelector('.events, .inner p') !== null) resolve(performance.now() - began);
        }).observe(exit, { subtree: true, childList: true });
        exit.open = true;
      }),
  );
}

/** Starts an explorer: how long until it gives its address. */
async function start(file: string): Promise<{ address: string; took: number; end: () => Promise<void> }> {
  const began = performance.now();
  const child: ChildProcess = spawn(virtap, ['serve', file], { env: environment, stdio: ['ignore', 'pipe', 'ignore'] });
  const text = await new Promise<string>((resolve) => child.stdout?.once('data', (chunk) => resolve(String(chunk))));
  const took = performance.now() - began;
  const end = async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGINT');
    await ended;
  };
  return { address: /http:\S+/.exec(text)?.[0] as string, took, end };
}

function timed(run: () => unknown): number {
  const began = performance.now();
  run();
  return performance.now() - began;
}

function median(numbers: number[]): number {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1] as number;
}

function milliseconds(ms: number): string {
  return `${Math.round(ms)} ms`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
