import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, type Page, chromium as playwright } from 'playwright-core';
import { chromium } from '../../test/tools.ts';

const flags =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'.split(
    ' ',
  );

/** Debian's Chromium with a profile of its own; `close` ends it and removes that. */
export async function startBrowser(): Promise<{
  open: (url: string, look?: Look) => Promise<OpenPage>;
  close: () => Promise<void>;
}> {
  const profile = mkdtempSync(join(tmpdir(), 'virtap-browser-'));
  const context = await playwright.launchPersistentContext(profile, { executablePath: chromium, args: flags });
  return {
    open: (url, look) => openIn(context, url, look),
    close: async () => {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

export type OpenPage = { page: Page; complaints: string[] };
export type Look = { width?: number; scheme?: 'light' | 'dark' };

/** Opens an address and waits for the page; `complaints` collects what its console and its errors say. */
async function openIn(
  context: BrowserContext,
  url: string,
  { width = 1280, scheme = 'light' }: Look = {},
): Promise<OpenPage> {
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.setViewportSize({ width, height: 900 });
  await page.emulateMedia({ colorScheme: scheme });
  await page.goto(url);
  await page.waitForSelector('main, [role=alert]');
  return { page, complaints };
}
