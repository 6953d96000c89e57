import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { count, duration } from '../../src/report/units.ts';

/** The clone. */
export const root = join(import.meta.dirname, '../..');

/** Runs a command, and gives what it printed. */
export function virtap(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'src/cli/main.ts'), ...args], {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  assert.ok(status === 0 || status === 3, stderr);
  return stdout;
}

/** The statistics as the page shows them, by reason: the text of each cell by its column. */
export async function statistics(page: Page): Promise<Map<string, Record<string, string>>> {
  const rows = await page.$$eval('#exits .table table', ([table]) => {
    const heads = [...(table as HTMLTableElement).querySelectorAll('thead th')].map((head) => head.textContent ?? '');
    return [...(table as HTMLTableElement).querySelectorAll('tbody tr')].map((row) =>
      Object.fromEntries([...row.children].map((cell, i) => [heads[i], cell.textContent ?? ''])),
    );
  });
  return new Map(rows.map((row) => [row.reason as string, row as Record<string, string>]));
}

/** The axe rules that the page breaks seriously. */
export async function serious(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync(join(root, 'node_modules/axe-core/axe.min.js'), 'utf8'));
  return page.evaluate(async () => {
    type Axe = { run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> };
    const { violations } = await (globalThis as unknown as { axe: Axe }).axe.run();
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
  });
}

/** A row of statistics as `--json` gives it. */
export type Row = { reason: string; halt: boolean; count: number; total_ns: number; max_ns: number; p99_ns: number };
/** What a row of the page's table says, and what it should. */
export const figures = (row: Record<string, string> | undefined): unknown[] => [row?.count, row?.total, row?.max];
export const expected = (row: Row): unknown[] => [count(row.count), duration(row.total_ns), duration(row.max_ns)];
