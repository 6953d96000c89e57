import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { count, duration, percent } from '../../src/report/units.ts';
import { percentileDigits } from '../../src/spans/summary.ts';
import { lacking, needs } from '../../test/tools.ts';
import { startBrowser } from './browser.ts';
import { expected, figures, type Row, root, serious, statistics, virtap } from './figures.ts';

/*
 * The page in a browser: reports opened from files, and the explorer's. What they show is compared with what the commands print of
 * the same recording.
 */

const host = join(root, 'samples/host-kvm.dat');
const leak = join(root, 'samples/qemu-leak.bin.zst');
const folder = mkdtempSync(join(tmpdir(), 'virtap-page-'));
const able = needs('Chromium');

let browser: Awaited<ReturnType<typeof startBrowser>> | undefined;
before(async () => {
  if (lacking('Chromium') === undefined) browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

function report(name: string, ...files: string[]): string {
  const path = join(folder, name);
  virtap('report', '-o', path, ...files);
  return path;
}

type Open = { page: Page; complaints: string[] };
async function open(url: string, look?: Parameters<NonNullable<typeof browser>['open']>[1]): Promise<Open> {
  assert.ok(browser !== undefined);
  return browser.open(/^(http|file):/.test(url) ? url : `file://${url}`, look);
}

test('a report opens from a file without a complaint and shows the figures that the command prints', able, async () => {
  const path = report('host.html', host);
  assert.ok(statSync(path).size < 1_500_000);
  const { page, complaints } = await open(path);
  const shown = await statistics(page);
  const { rows } = JSON.parse(virtap('exits', '--json', host)) as { rows: Row[] };
  for (const row of rows) {
    assert.deepEqual(figures(shown.get(row.reason)), expected(row), row.reason);
    assert.equal(shown.get(row.reason)?.p99, duration(row.p99_ns, percentileDigits(row.count)));
  }
  assert.deepEqual(await serious(page), []);
  assert.deepEqual(complaints, []);
  assert.equal(await page.evaluate(() => document.querySelectorAll('[src], link').length), 0);
  await page.close();
});

test('a click on a reason, a brush and the keyboard pick exits; the address holds what was picked', able, async () => {
  const { page, complaints } = await open(join(folder, 'host.html'));
  await page.click('#exits button.pick:has-text("cpuid")');
  assert.match((await page.textContent('.status')) as string, /^Shown: 4,966 exits, reason cpuid\.$/);
  assert.match(page.url(), /reason=cpuid/);
  await page.click('#exits button.pick:has-text("cpuid")');

  // Every exit as a row is the other way to what the cells say.
  const spans = virtap('export', '--format', 'jsonl', host)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  await page.locator('.u-over').scrollIntoViewIfNeeded();
  const box = await page.locator('.u-over').boundingBox();
  assert.ok(box !== null);
  await page.mouse.move(box.x + box.width * 0.3, box.y + box.height * 0.2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + box.height * 0.8, { steps: 4 });
  await page.mouse.up();
  const region = /region=([^&]+)/.exec(page.url())?.[1];
  const [from, to, least, most] = decodeURIComponent(region as string)
    .split(',')
    .map(Number) as [number, number, number, number];
  const inside = spans.filter(
    ({ begin_ns: begin, duration_ns: length }) => begin >= from && begin < to && length >= least && length < most,
  );
  assert.ok(inside.length > 20 && inside.length < spans.length / 2);
  const shown = await statistics(page);
  for (const reason of new Set(inside.map((span) => span.reason as string))) {
    const lengths = inside.filter((span) => span.reason === reason).map((span) => span.duration_ns as number);
    const total = lengths.reduce((a, b) => a + b, 0);
    assert.deepEqual(
      figures(shown.get(reason)),
      [count(lengths.length), duration(total), duration(Math.max(...lengths))],
      reason,
    );
  }
  assert.equal(shown.size, new Set(inside.map((span) => span.reason)).size);

  // Who gets the address sees the same.
  const again = await open(page.url());
  assert.deepEqual(await statistics(again.page), shown);
  await again.page.close();

  await page.focus('.heatmap-box');
  await page.keyboard.press('Escape');
  const told = () => page.textContent('[aria-live=polite].visually-hidden');
  await page.keyboard.press('ArrowRight');
  assert.match((await told()) as string, /^\d[\d,]* exits?, lasting .* begun /);
  for (let n = 0; n < 40 && !((await told()) as string).includes('longest: '); n++)
    await page.keyboard.press('ArrowLeft');
  assert.match((await told()) as string, /^\d[\d,]* exits?, lasting .* longest: /);
  await page.keyboard.press('Enter');
  assert.match(page.url(), /region=/);
  assert.ok((await page.locator('#exits details.slow').count()) > 0);
  assert.deepEqual(complaints, []);
  await page.close();
});

test('what is selected is marked, but neither nothing nor all of the picture, and told exactly', able, async () => {
  const { page } = await open(join(folder, 'host.html'), { width: 720 });
  const marked = () =>
    page.$eval('#exits .u-select', (mark) => [mark.clientWidth, getComputedStyle(mark).borderTopWidth]);
  assert.deepEqual(await marked(), [0, '0px']);
  await page.evaluate(() => {
    location.hash = 'region=1234000000,1789000000,0,100000000';
  });
  await page.waitForSelector('#exits .status:has-text("begun 1.234 s to 1.789 s after the start")');
  assert.ok(((await marked())[0] as number) > 20);
  await page.click('#exits button:has-text("Zoom in")');
  assert.deepEqual(await marked(), [0, '0px']);
  await page.close();
});

test('a slow exit divides its time in the colours of its legend', able, async () => {
  const { page } = await open(join(folder, 'host.html'));
  const classes = (of: string) =>
    page.$$eval(`#slow-exits + div details:first-of-type ${of}`, (all) => all.map((one) => one.getAttribute('class')));
  const named = await classes('.states li');
  assert.ok(named.length > 1);
  assert.deepEqual(await classes('.bar rect'), named);
  await page.close();
});

test('the command that lists what was picked can be run as it stands, on several files too', able, async () => {
  const log = join(root, 'samples/kvm-and-qemu.log.zst');
  const trace = join(root, 'samples/kvm-and-qemu.dat');
  const path = report('words.html', trace, log, '--offset', `${log}=-1795418437072120300`);
  const { page } = await open(path);
  await page.evaluate(() => {
    location.hash = 'region=1000000000,2000000000,0,100000000';
  });
  await page.waitForSelector('#exits .command');
  const [name, ...words] = ((await page.textContent('#exits .command')) as string).split(' ');
  assert.equal(name, 'virtap');
  assert.match(virtap(...words), /^ +[\d,]+ exits in /m);
  await page.close();
});

test(
  'the statistics fit a wide window; in a narrow one, rows keep their names and an edge tells of more',
  able,
  async () => {
    const fits = (page: Page) => page.$eval('#exits .table .scroll', (box) => box.scrollWidth <= box.clientWidth);
    const wide = await open(join(folder, 'host.html'), { width: 1440 });
    assert.ok(await fits(wide.page));
    await wide.page.close();
    const { page } = await open(join(folder, 'host.html'), { width: 390 });
    assert.ok(!(await fits(page)));
    const left = await page.$eval('#exits .table .scroll', (box) => {
      box.scrollLeft = 200;
      const head = box.querySelector('tbody th') as Element;
      return head.getBoundingClientRect().left - box.getBoundingClientRect().left;
    });
    assert.equal(left, 0);
    await page.close();
  },
);

test('dark, and as narrow as a phone, the page is whole and readable', able, async () => {
  const path = report('leak.html', leak);
  for (const file of [path, join(folder, 'host.html')]) {
    const { page, complaints } = await open(file, { width: 390, scheme: 'dark' });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    assert.deepEqual(await serious(page), []);
    // The system's theme is dark; the reader's choice is remembered, and the other way is a click away.
    const chosen = file === path ? 'light' : 'dark';
    await page.click('header button');
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), chosen);
    assert.deepEqual(await serious(page), []);
    assert.deepEqual(complaints, []);
    await page.close();
  }
});

test('leaks stand first, with their evidence', able, async () => {
  const { page } = await open(join(folder, 'leak.html'));
  const { elements } = JSON.parse(virtap('leaks', '--json', leak)) as { elements: { elem: string; why: string }[] };
  assert.match(
    (await page.textContent('.verdicts li')) as string,
    /^Found42 elements leaked on virtio-blk 0x56112e1233c0 queues 0 and 1 \(25 \+ 17\)\.$/,
  );
  assert.equal(await page.locator('#leaks details.slow').count(), elements.length);
  assert.ok(((await page.textContent('#leaks details.slow')) as string).includes(elements[0]?.why as string));
  await page.click('.verdicts a');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'leaks');
  await page.close();
});

/** A trace whose process and reason are markup. */
function hostile(): string {
  const path = join(folder, 'hostile.txt');
  const name = '<img/src=x>';
  const lines = [0, 1, 2, 3].flatMap((n) => [
    `     ${name}-100     [000] d..1.  1.00${n}010: kvm_exit: vcpu 0 reason <b>x</b>${n} rip 0xfff0 info1 0x0000000000000000 info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000`,
    `     ${name}-100     [000] d..1.  1.00${n}020: sched_waking: comm=</script><script>alert(1)</script> pid=100 prio=120 target_cpu=000`,
    `     ${name}-100     [000] d..1.  1.00${n}050: kvm_entry: vcpu 0, rip 0xfff0`,
  ]);
  writeFileSync(path, `# tracer: nop\n#\n${lines.join('\n')}\n`);
  return path;
}

test("vCPUs' time and locks are those that the commands print", able, async () => {
  const trace = join(root, 'samples/kvm-and-qemu.dat');
  const log = join(root, 'samples/kvm-and-qemu.log.zst');
  const files = [trace, log, '--offset', `${log}=-1795418437072120300`];
  const { page, complaints } = await open(report('both.html', ...files));
  const { vcpus } = JSON.parse(virtap('vcpus', '--json', ...files)) as {
    vcpus: { wall_ns: number; states: Record<string, number> }[];
  };
  const cells = (id: string) =>
    page.$$eval(`${id} .table table`, ([table]) =>
      [...(table as HTMLTableElement).rows].map((row) => [...row.cells].map((cell) => cell.textContent ?? '')),
    );
  const [heads = [], ...rows] = await cells('#vcpus');
  vcpus.forEach(({ wall_ns: wall, states }, n) => {
    for (const [state, time] of Object.entries(states))
      assert.equal(rows[n]?.[heads.indexOf(state)], percent(time / wall), state);
  });
  assert.equal(await page.locator('#vcpus .bar').count(), 2 * vcpus.length);

  const { mutexes } = JSON.parse(virtap('locks', '--json', ...files)) as {
    mutexes: { name: string; acquisitions: number; held_by_others: { total_ns: number } }[];
  };
  const [, ...shown] = await cells('#locks');
  assert.deepEqual(
    shown.map(([name, acquired, , , waited]) => [name, acquired, waited]),
    mutexes.map(({ name, acquisitions, held_by_others: held }) => [name, count(acquisitions), duration(held.total_ns)]),
  );
  assert.match(
    (await page.textContent('#verdict')) as string,
    /vCPUs spent 0\.39 % of their time waiting for the BQL while another thread held it\./,
  );
  assert.deepEqual(await serious(page), []);
  assert.deepEqual(complaints, []);
  await page.close();
});

test('requests are those that the command prints, each slow one with its path', able, async () => {
  const trace = join(root, 'samples/kvm-and-qemu.dat');
  const log = join(root, 'samples/kvm-and-qemu.log.zst');
  const files = [trace, log, '--offset', `${log}=-1795418437072120300`];
  const { page } = await open(join(folder, 'both.html'));
  const answer = JSON.parse(virtap('requests', '--json', '--slow', '20', ...files)) as {
    queues: { device: string; vdev: string; queue: number; role: string; count: number; max_ns: number }[];
    slow: { path: { point: string; time_ns: number }[] }[];
  };
  const shown = await page.$$eval('#requests .table:not([hidden]) tbody tr', (rows) =>
    rows.map((row) => [...row.children].map((cell) => cell.textContent ?? '')),
  );
  assert.deepEqual(
    shown.map((cells) => [cells[0], cells[1], cells[2], cells[7]]),
    answer.queues.map((queue) => [
      `${queue.device} ${queue.vdev}`,
      `${queue.queue} ${queue.role}`,
      count(queue.count),
      duration(queue.max_ns),
    ]),
  );
  const paths = await page.$$eval('#requests .waterfall', (tables) =>
    tables.map((table) =>
      [...table.querySelectorAll('tr')].map((row) => [...row.children].slice(0, 2).map((cell) => cell.textContent)),
    ),
  );
  assert.deepEqual(
    paths,
    answer.slow.map(({ path }) =>
      path.slice(1).map(({ point, time_ns: time }, n) => {
        const before = path[n] as (typeof path)[number];
        return [`${before.point} → ${point}`, duration(time - before.time_ns)];
      }),
    ),
  );
  // The bars of a request end where it does.
  const ends = await page.$$eval('#requests .waterfall tr:last-child rect:last-child', (bars) =>
    bars.map((bar) => Number(bar.getAttribute('x')) + Number(bar.getAttribute('width'))),
  );
  assert.equal(ends.length, answer.slow.length);
  assert.ok(
    ends.every((end) => Math.abs(end - 1000) < 3),
    String(ends),
  );
  await page.close();
});

test('a brush over the heat map of requests picks them, and the address holds it', able, async () => {
  const { page, complaints } = await open(join(folder, 'leak.html'));
  const spans = virtap('export', '--format', 'jsonl', leak)
    .trimEnd()
    .split('\n')
    .map(
      (line) =>
        JSON.parse(line) as { begin_ns: number; duration_ns: number; device: string; vdev: string; queue: number },
    );
  await page.locator('#requests .u-over').scrollIntoViewIfNeeded();
  const box = await page.locator('#requests .u-over').boundingBox();
  assert.ok(box !== null);
  await page.mouse.move(box.x + box.width * 0.4, box.y + box.height * 0.1);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + box.height * 0.7, { steps: 4 });
  await page.mouse.up();
  const region = new URLSearchParams(new URL(page.url()).hash.slice(1)).get('requests.region') ?? '';
  const [from, to, least, most] = region.split(',').map(Number) as [number, number, number, number];
  const expected = new Map<string, number[]>();
  for (const { begin_ns: begin, duration_ns: length, device, vdev, queue } of spans) {
    if (begin < from || begin >= to || length < least || length >= most) continue;
    const name = `${device} ${vdev} queue ${queue} `;
    expected.set(name, [...(expected.get(name) ?? []), length]);
  }
  const picked = async () =>
    page.$$eval('#requests .table:not([hidden])', ([table]) =>
      [...(table as Element).querySelectorAll('tbody tr')].map((row) =>
        [...row.children].map((cell) => cell.textContent ?? ''),
      ),
    );
  const shown = await picked();
  assert.ok(shown.length > 2);
  assert.equal(shown.length, expected.size);
  for (const [name = '', n, total, , max] of shown) {
    const lengths = expected.get([...expected.keys()].find((key) => name.startsWith(key)) ?? '') ?? [];
    const sum = lengths.reduce((a, b) => a + b, 0);
    assert.deepEqual([n, total, max], [count(lengths.length), duration(sum), duration(Math.max(...lengths))], name);
  }
  const again = await open(page.url());
  await again.page.waitForSelector('#requests .status:has-text("Selected")');
  assert.equal(await again.page.textContent('#requests .status'), await page.textContent('#requests .status'));
  await again.page.close();
  assert.deepEqual(complaints, []);
  await page.close();
});

test('elements in flight are drawn over time, those that leaked with the moments of their pops', able, async () => {
  const { page } = await open(join(folder, 'leak.html'));
  const { elements } = JSON.parse(virtap('leaks', '--json', leak)) as { elements: { queue: number; pop_ns: number }[] };
  const { queues } = JSON.parse(virtap('requests', '--json', leak)) as {
    queues: { vdev: string; queue: number; in_flight: { from_ns: number; time_step_ns: number; max: number } }[];
  };
  const courses = await page.$$eval('#requests .course', (pictures) =>
    pictures.map((picture) => ({
      told: picture.querySelector('title')?.textContent ?? '',
      marks: picture.querySelector('.in-flight-lost:last-child')?.getAttribute('d') ?? '',
    })),
  );
  for (const number of [0, 1]) {
    const one = queues.find(({ vdev, queue }) => vdev === '0x56112e1233c0' && queue === number);
    const drawn = courses.find(({ told }) => told.startsWith(`virtio-blk 0x56112e1233c0 queue ${number} `));
    assert.ok(one !== undefined && drawn !== undefined);
    const { from_ns: from, time_step_ns: step, max } = one.in_flight;
    const own = elements.filter(({ queue }) => queue === number);
    assert.ok(drawn.told.endsWith(`at most ${count(max)}; ${own.length} elements of it never given back`), drawn.told);
    assert.deepEqual(
      [...drawn.marks.matchAll(/M([\d.]+) /g)].map(([, x]) => x),
      own.map(({ pop_ns: pop }) => ((pop - from) / step).toFixed(2)).sort((a, b) => Number(a) - Number(b)),
    );
  }
  assert.equal(courses.filter(({ marks }) => marks !== '').length, 2);
  await page.close();
});

test('names from a trace stay text', able, async () => {
  const path = join(folder, 'hostile.html');
  virtap('report', '-o', path, '--title', '</title><script>alert(2)</script>', hostile());
  const { page, complaints } = await open(path);
  assert.equal(await page.evaluate(() => document.querySelectorAll('#app img, #app b, #app script').length), 0);
  assert.ok(((await page.textContent('#exits')) as string).includes('<b>x</b>0'));
  assert.equal(await page.textContent('h1'), '</title><script>alert(2)</script>');
  assert.deepEqual(complaints, []);
  await page.close();
});
