import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { count, duration } from '../../src/report/units.ts';
import { lacking, needs } from '../../test/tools.ts';
import { startBrowser } from './browser.ts';
import { expected, figures, type Row, root, statistics, virtap } from './figures.ts';

/* The explorer in a browser: what it shows is compared with what the commands print of the same recording. */

const host = join(root, 'samples/host-kvm.dat');
const folder = mkdtempSync(join(tmpdir(), 'virtap-explorer-'));
const able = needs('Chromium');
const servers: ChildProcess[] = [];

let browser: Awaited<ReturnType<typeof startBrowser>>;
before(async () => {
  if (lacking('Chromium') === undefined) browser = await startBrowser();
});
after(async () => {
  for (const server of servers) server.kill('SIGINT');
  await browser?.close();
  rmSync(folder, { recursive: true });
});

/** Serves a file, and gives the address. */
async function serve(file: string): Promise<string> {
  const server = spawn(process.execPath, [join(root, 'src/cli/main.ts'), 'serve', file], {
    env: { ...process.env, XDG_CACHE_HOME: join(folder, 'cache') },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  servers.push(server);
  const text = await new Promise<string>((resolve) => server.stdout.once('data', (bytes) => resolve(String(bytes))));
  return /http:\S+/.exec(text)?.[0] as string;
}

test('the explorer answers a brush with what a query of the same range gives', {
  ...able,
  timeout: 60_000,
}, async () => {
  const address = await serve(host);
  const { page, complaints } = await browser.open(address);
  const { rows } = JSON.parse(virtap('exits', '--json', host)) as { rows: Row[] };
  const all = await statistics(page);
  for (const row of rows) assert.deepEqual(figures(all.get(row.reason)), expected(row), row.reason);

  // A stretch at whose ends every vCPU is in the guest: the command leaves out what its ends cut.
  const spans = virtap('export', '--format', 'jsonl', host)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const quiet = (time: number) => !spans.some((s) => s.begin_ns < time && s.begin_ns + s.duration_ns >= time);
  const step = (time: number) => {
    let at = time;
    while (!quiet(at)) at += 1000;
    return at;
  };
  const [from, to] = [step(2e9), step(3e9)];
  const hash = `region=${from},${to},0,${2 ** 44}`;
  await page.evaluate((text) => {
    location.hash = text;
  }, hash);
  await page.waitForFunction(() => document.querySelector('#exits')?.textContent?.includes('From the trace itself'));
  const shown = await statistics(page);
  const origin = BigInt(JSON.parse(virtap('events', '--json', host)).origin);
  const stamp = (time: number) =>
    `${(origin + BigInt(time)) / 1_000_000_000n}.${String((origin + BigInt(time)) % 1_000_000_000n).padStart(9, '0')}`;
  const part = JSON.parse(virtap('exits', '--json', '--from', stamp(from), '--to', stamp(to - 1), host)) as {
    rows: Row[];
  };
  assert.ok(part.rows.length > 3);
  assert.equal(shown.size, part.rows.length);
  for (const row of part.rows) {
    assert.deepEqual(figures(shown.get(row.reason)), expected(row), row.reason);
    assert.equal(shown.get(row.reason)?.p99, duration(row.p99_ns), row.reason);
  }
  const inside = spans.filter(({ begin_ns: begin, reason }) => begin >= from && begin < to && reason !== 'hlt');
  assert.match((await page.textContent('.status')) as string, new RegExp(`^Selected: ${count(inside.length)} exits,`));

  // One that was not kept with the page is read from the trace when it is opened.
  const unread = page.locator('#slow-exits + div details').last();
  await unread.locator('summary').click();
  await unread.locator('.events, .inner p').first().waitFor();

  // Looked at more closely, the picture is drawn anew from the trace: a cell is a part of what it was.
  const width = async () => {
    await page.focus('.heatmap-box');
    await page.keyboard.press('ArrowRight');
    const told = (await page.textContent('[aria-live=polite].visually-hidden')) as string;
    return /begun ([\d.]+) m?s to/.exec(told)?.[1] as string;
  };
  await page.evaluate(
    (text) => {
      location.hash = text;
    },
    `view=${from},${to},0,${2 ** 44}`,
  );
  await page.waitForFunction(() =>
    performance.getEntriesByType('resource').some(({ name }) => name.includes('/api/picture')),
  );
  await page.waitForLoadState('networkidle');
  const decimals = (await width()).split('.')[1]?.length ?? 0;
  assert.ok(decimals >= 3, await width());
  assert.deepEqual(complaints, []);
  await page.close();
});

test('a cell that is opened shows its log in sight, and a zoom without an answer is told', {
  ...able,
  timeout: 60_000,
}, async () => {
  const { page } = await browser.open(await serve(host));
  await page.focus('.heatmap-box');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#exits')?.textContent?.includes('From the trace itself'));
  // The scrolling is smooth: it has ended when two pictures are alike.
  const top = () => page.$eval('#slow-exits', (title) => title.getBoundingClientRect().top);
  for (let last = Number.NaN, now = await top(); now !== last; now = await top()) {
    last = now;
    await page.waitForTimeout(150);
  }
  assert.ok((await top()) > -1 && (await top()) < 450, String(await top()));
  assert.ok(await page.$eval('#slow-exits + div details', (one) => one.getBoundingClientRect().top < innerHeight));

  await page.route('**/api/picture*', (route) => route.fulfill({ status: 500, body: 'the disk is gone' }));
  await page.click('#exits button:has-text("Zoom in")');
  await page.waitForSelector(
    '#exits .status:has-text("exits, begun"):has-text("The server could not answer: the disk is gone")',
  );
  await page.close();
});

/** Exits of 40 µs, one each ms, as trace-cmd and the kernel write them. */
function exits(from: number, to: number): string {
  const lines: string[] = [];
  for (let n = from; n < to; n++) {
    const at = (µs: number) => `      qemu-100     [000] d..1.  ${(1 + n / 1000 + µs / 1e6).toFixed(6)}:`;
    lines.push(
      `${at(10)} kvm_exit: vcpu 0 reason io rip 0xfff0 info1 0x0000000000000000 info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000`,
      `${at(50)} kvm_entry: vcpu 0, rip 0xfff0`,
    );
  }
  return `${lines.join('\n')}\n`;
}

test('the explorer follows a trace that grows, and leaves alone who has picked something', {
  ...able,
  timeout: 60_000,
}, async () => {
  const file = join(folder, 'growing.txt');
  writeFileSync(file, `# tracer: nop\n#\n${exits(0, 100)}`);
  const { page, complaints } = await browser.open(await serve(file));
  const told = async () => (await statistics(page)).get('io')?.count;
  assert.equal(await told(), '100');
  appendFileSync(file, exits(100, 250));
  await page.waitForFunction(() => document.querySelector('.status')?.textContent?.includes('250 exits'));
  assert.equal(await told(), '250');

  await page.evaluate(() => {
    location.hash = 'region=0,50000000,0,1000000';
  });
  await page.waitForFunction(() => document.querySelector('.status')?.textContent?.startsWith('Selected: 50 exits'));
  appendFileSync(file, exits(250, 300));
  await page.waitForSelector('.grown');
  assert.equal(await told(), '50');
  await page.click('.grown button');
  await page.waitForFunction(() => document.querySelector('.grown') === null);
  await page.waitForFunction(() => document.querySelector('.status')?.textContent?.startsWith('Selected: 50 exits'));
  await page.click('button:has-text("Clear selection")');
  await page.waitForFunction(() => document.querySelector('.status')?.textContent?.includes('300 exits'));
  assert.deepEqual(complaints, []);
  await page.close();
});
