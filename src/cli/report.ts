import { spawn } from 'node:child_process';
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { answersOf, askEverything, type Everything, newPictures, nothingToShow, pageOf } from '../report/everything.ts';
import { exitsText } from '../report/exits-text.ts';
import { heatmapImage } from '../report/heatmap-image.ts';
import { json } from '../report/json.ts';
import { leaksText } from '../report/leaks-text.ts';
import { locksText } from '../report/locks-text.ts';
import { pageFiles, reportHtml } from '../report/page.ts';
import { png } from '../report/png.ts';
import { requestsText } from '../report/requests-text.ts';
import { svg } from '../report/svg.ts';
import type { Terminal } from '../report/terminal.ts';
import { bytes } from '../report/units.ts';
import { vcpusText } from '../report/vcpus-text.ts';
import { verdictsText } from '../report/verdicts.ts';
import type { Analysis } from '../trace/analysis.ts';
import { openTraces } from './open.ts';
import { openOptions, openWords, runOptions, type TraceOptions, traceCommand } from './options.ts';
import { Output } from './output.ts';
import { checkOutput, forceOption, writeOutput } from './output-file.ts';
import { runAnalyses, wasInterrupted } from './run.ts';
import { say } from './say.ts';

type ReportOptions = TraceOptions & {
  output?: string;
  title?: string;
  open?: true;
  svg?: string;
  png?: string;
  force?: true;
};

export default function define(command: Command): void {
  traceCommand(
    command,
    [
      ['virtap report -o report.html trace.dat', 'a page with everything, in one file that needs no network'],
      ['virtap report trace.dat', 'the same in the terminal'],
      ['virtap report --png heat.png trace.dat', 'the heat map alone, for a bug report'],
    ],
    { forms: ['json'] },
  )
    .option('-o, --output <file>', 'write a page: one HTML file that works from anywhere')
    .option('--title <text>', 'what the page is called (the file, where not given)')
    .option('--open', 'open the page in the browser')
    .option('--svg <file>', 'write the heat map of the exits (or else of the requests) alone, as SVG')
    .option('--png <file>', 'write the heat map of the exits (or else of the requests) alone, as PNG');
  forceOption(command).action(run);
}

async function run(files: string[], options: ReportOptions): Promise<void> {
  const out = new Output(options);
  const { output, svg: svgFile, png: pngFile } = options;
  if (options.open === true && output === undefined) {
    throw new UsageError('--open opens the page that -o writes: say where to write it, as in -o report.html');
  }
  const targets = [output, svgFile, pngFile].filter((file) => file !== undefined);
  if (new Set(targets.map((file) => resolve(file))).size < targets.length)
    throw new UsageError('two of -o, --svg and --png name the same file');
  const spared = { inputs: [...files, options.traceEvents, options.formats], force: options.force };
  for (const file of targets) await checkOutput(file, spared);
  const page = output === undefined ? undefined : pageFiles();
  const trace = await openTraces(files, openOptions(options));
  // A page and images have pictures; answers have none.
  const pictures = targets.length > 0 ? newPictures() : undefined;
  const reads = (analyses: readonly Analysis[]) => runAnalyses(trace, analyses, runOptions(options));
  const everything = await askEverything(trace, reads, pictures);
  if (targets.length > 0 && !files.includes('-') && wasInterrupted(everything.reading)) {
    say(`virtap: interrupted: ${targets.join(' and ')} ${targets.length === 1 ? 'was' : 'were'} not written\n`);
    process.exitCode = 130;
    return;
  }
  const nothing = nothingToShow(everything);
  if (nothing !== undefined) throw new UsageError(nothing);
  const title = options.title ?? files.map((file) => basename(file)).join(', ');

  if (svgFile !== undefined || pngFile !== undefined) {
    const image = heatImage(everything, title);
    if (svgFile !== undefined) await writeOutput(svgFile, svg(image), spared);
    if (pngFile !== undefined) await writeOutput(pngFile, png(image), spared);
  }
  if (output !== undefined && page !== undefined && pictures !== undefined) {
    const { data, cells } = pageOf(everything, pictures, { title, words: openWords(files, options) });
    const html = reportHtml(data, cells, page);
    await writeOutput(output, html, spared);
    say(`virtap: wrote ${output}, ${bytes(Buffer.byteLength(html))}\n`);
    if (options.open === true) openInBrowser(output);
  } else if (svgFile === undefined && pngFile === undefined) {
    const { recording, verdicts, sections } = answersOf(everything);
    if (out.form === 'json') {
      const answers = sections.map(({ kind, answer }) => [kind, answer]);
      await out.write(json({ recording, verdicts, ...Object.fromEntries(answers) }));
    } else await out.write(reportText(everything, verdictsText(verdicts, out.terminal), out.terminal));
  }
}

/** The page's content for a terminal: what the commands print, under the verdicts. */
function reportText(
  { exits, vcpus, leaks, requests, locks }: Everything,
  verdicts: string,
  terminal: Terminal,
): string {
  const title = (command: string) => `${terminal.style('heading', `virtap ${command}`)}\n\n`;
  const parts = [verdicts];
  if (leaks !== undefined) parts.push(title('leaks') + leaksText(leaks, terminal));
  if (exits !== undefined) parts.push(title('exits') + exitsText(exits, terminal));
  if (vcpus !== undefined) parts.push(title('vcpus') + vcpusText(vcpus, terminal));
  if (requests !== undefined) parts.push(title('requests') + requestsText(requests, terminal));
  if (locks !== undefined) parts.push(title('locks') + locksText(locks, terminal));
  return parts.join('\n');
}

/** The heat map of the exits or, where there is none, of the requests. */
function heatImage({ exits, requests, pictures, trace }: Everything, title: string) {
  const heat = exits?.result.heat;
  if (exits !== undefined && heat !== undefined && heat.total > 0) {
    const { unit } = exits.result;
    return heatmapImage(heat, { title, unit, noun: 'exits', what: 'VM exits by time and duration, halts left out' });
  }
  const requested = requests && pictures?.requests.heat.result();
  if (requested === undefined || requested.total === 0) {
    throw new UsageError(`${trace.file}: there are no exits and no requests to draw`);
  }
  const unit = trace.clock.unit === 'ns' ? 'ns' : 'cycles';
  return heatmapImage(requested, { title, unit, noun: 'requests', what: 'virtio requests by time and duration' });
}

/** By the desktop's own opener; that there is none is no failure. */
function openInBrowser(file: string): void {
  const opener = process.platform === 'darwin' ? 'open' : 'xdg-open';
  const child = spawn(opener, [pathToFileURL(resolve(file)).href], { detached: true, stdio: 'ignore' });
  child.on('error', () => say(`virtap: there is no ${opener}; open ${file} in a browser\n`));
  child.unref();
}
