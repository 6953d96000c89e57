import { createHash } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { hasOwn, ownText } from '../own/files.ts';
import { escapeText } from './escape.ts';
import type { PageData } from './page-data.ts';

/** The page's script and style, as Vite built them from web/. */
export type PageFiles = { script: string; style: string };

/** Throws an Error with the remedy where the page was not built. */
export function pageFiles(): PageFiles {
  if (!hasOwn('dist/web/page.js')) {
    throw new Error('the page is not built: ./virtap report builds it in a clone, npm pack in the package');
  }
  return { script: ownText('dist/web/page.js'), style: ownText('dist/web/page.css') };
}

/**
 * The report as one file that needs nothing else: script and style inline, allowed by their hashes and nothing else allowed. The
 * data are deflated, in base64; the packed cells of the pictures are so already, by the kind of their section.
 */
export function reportHtml(data: PageData, cells: ReadonlyMap<string, Uint8Array>, files: PageFiles): string {
  // In a script element only its end tag has a meaning.
  const script = files.script.replace(/<\/(script)/gi, '<\\/$1').replaceAll('<!--', '<\\!--');
  const { style } = files;
  const policy = [
    "default-src 'none'",
    `script-src '${hash(script)}'`,
    `style-src '${hash(style)}'`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  const blocks = [['data', deflateRawSync(JSON.stringify(data))], ...cells] as [string, Uint8Array][];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="${escapeHtml(data.madeBy)}">
<title>${escapeHtml(data.title)}</title>
<style>${style}</style>
</head>
<body>
<noscript>
<h1>${escapeHtml(data.title)}</h1>
<ul>
${data.verdicts.map(({ text }) => `<li>${escapeHtml(text)}</li>`).join('\n')}
</ul>
<p>The pictures and tables of this page need JavaScript.</p>
</noscript>
<div id="app"></div>
${blocks.map(([name, bytes]) => `<script type="text/plain" id="virtap-${name}">${Buffer.from(bytes).toString('base64')}</script>`).join('\n')}
<script>${script}</script>
</body>
</html>
`;
}

function hash(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Text for HTML, in an element or a quoted attribute; what could reverse or hide text is escaped, too. */
export function escapeHtml(text: string): string {
  return escapeText(text).replace(/[&<>"']/g, (c) => entities[c] as string);
}
