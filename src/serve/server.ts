import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { PageFiles } from '../report/page.ts';

/** What a server answers from: it may change while the server runs. */
export type Content = {
  files: PageFiles;
  /** An answer as an object for JSON; undefined where there is nothing of that name. May throw an Error for the reader. */
  ask(path: string, query: URLSearchParams): Promise<unknown>;
};

const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/**
 * Serves the page and its answers on 127.0.0.1, and nothing else: no path leads to a file. Requests that name another host, or that come
 * from another page (DNS rebinding, cross-site requests), are refused. Resolves when it listens.
 */
export function serve(content: Content, port: number): Promise<{ server: Server; address: string }> {
  const server = createServer((request, response) => {
    answer(content, request, response).catch((error: Error) => {
      if (!response.headersSent) send(response, 500, 'text/plain; charset=utf-8', error.message);
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const { port: bound } = server.address() as { port: number };
      resolve({ server, address: `http://127.0.0.1:${bound}/` });
    });
  });
}

async function answer(content: Content, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const refusal = refused(request);
  if (refusal !== undefined) {
    send(response, 403, 'text/plain; charset=utf-8', refusal);
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    send(response, 405, 'text/plain; charset=utf-8', 'only GET');
    return;
  }
  const url = new URL(request.url ?? '/', 'http://127.0.0.1');
  const { files } = content;
  if (url.pathname === '/') send(response, 200, 'text/html; charset=utf-8', frame);
  else if (url.pathname === '/page.js') send(response, 200, 'text/javascript; charset=utf-8', files.script);
  else if (url.pathname === '/page.css') send(response, 200, 'text/css; charset=utf-8', files.style);
  else {
    const found = await content.ask(url.pathname, url.searchParams);
    if (found === undefined) send(response, 404, 'text/plain; charset=utf-8', 'there is no such page');
    else send(response, 200, 'application/json', JSON.stringify(found));
  }
}

/** Why a request is refused; undefined where it is not. */
function refused({ headers, socket }: IncomingMessage): string | undefined {
  // Browsers leave out the usual port.
  const port = socket.localPort === 80 ? '' : `:${socket.localPort}`;
  const names = [`127.0.0.1${port}`, `localhost${port}`];
  if (!names.includes(headers.host ?? '')) return 'this server is for this machine only';
  const { origin } = headers;
  if (origin !== undefined && !names.some((name) => origin === `http://${name}`))
    return 'requests of other pages are refused';
  const site = headers['sec-fetch-site'];
  if (site === 'cross-site' || site === 'same-site') {
    // A link to the page may be followed from anywhere.
    if (headers['sec-fetch-mode'] !== 'navigate') return 'requests of other pages are refused';
  }
  return undefined;
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Content-Security-Policy': policy,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cache-Control': 'no-store',
  });
  response.end(body);
}

const frame = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>virtap</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
</head>
<body>
<div id="app"><p>Reading the trace …</p></div>
<script src="/page.js"></script>
</body>
</html>
`;
