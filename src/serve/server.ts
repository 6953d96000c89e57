import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { escapeJson } from '../report/escape.ts';
import type { PageFiles } from '../report/page.ts';

/** What a server answers from: it may change while the server runs. */
export type Content = {
  files: PageFiles;
  /** An answer as an object for JSON, or as its bytes; undefined where there is nothing of that name. May throw a NoAnswer for the reader. */
  ask(path: string, query: URLSearchParams): Promise<unknown>;
  /** Told of every other error that an answer throws: it is no reader's business. */
  failed(error: unknown): void;
};

/** Why there is no answer, as a sentence for who asked. */
export class NoAnswer extends Error {
  override name = 'NoAnswer';
}

/** Questions that are worked on at once, and that may wait for their turn. Who comes then is asked to come again. */
const atOnce = 4;
const mayWait = 256;
/** Connections that the kernel may hold until we take them: thousands can come at once. */
const backlog = 4096;

const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const plain = 'text/plain; charset=utf-8';

/**
 * Serves the page and its answers on 127.0.0.1, and nothing else: no path leads to a file. Every user of this machine can connect, so whoever
 * has not the secret of the address, or a cookie that was given for it, is refused; so are requests that name another host, or that
 * come from another page (DNS rebinding, cross-site requests). Resolves when it listens.
 */
export function serve(content: Content, port: number): Promise<{ server: Server; address: string }> {
  const secret = randomBytes(24).toString('base64url');
  const line = new Line();
  const server = createServer((request, response) => {
    answer(content, secret, line, request, response).catch((error: unknown) => {
      const told = error instanceof NoAnswer;
      if (!told) content.failed(error);
      if (!response.headersSent)
        send(
          response,
          told ? 404 : 500,
          plain,
          told ? error.message : 'virtap could not answer; its terminal says why',
        );
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', backlog }, () => {
      const { port: bound } = server.address() as { port: number };
      resolve({ server, address: `http://127.0.0.1:${bound}/?token=${secret}` });
    });
  });
}

async function answer(
  content: Content,
  secret: string,
  line: Line,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const refusal = refused(request);
  if (refusal !== undefined) {
    send(response, 403, plain, refusal);
    return;
  }
  const { localPort } = request.socket;
  // Cookies know hosts, not ports: several of us must not take each other's.
  const cookie = `virtap-${localPort}`;
  const url = URL.parse(request.url ?? '/', 'http://127.0.0.1');
  const token = url?.searchParams.get('token') ?? undefined;
  if (url === null || !(isSame(token, secret) || isSame(cookieOf(request, cookie), secret))) {
    send(response, 403, plain, 'open the address that virtap serve printed: it has the secret that lets you in');
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    send(response, 405, plain, 'only GET');
    return;
  }
  const { files } = content;
  if (url.pathname === '/') {
    response.setHeader('Set-Cookie', `${cookie}=${secret}; Path=/; HttpOnly; SameSite=Strict`);
    send(response, 200, 'text/html; charset=utf-8', frame);
  } else if (url.pathname === '/page.js') send(response, 200, 'text/javascript; charset=utf-8', files.script);
  else if (url.pathname === '/page.css') send(response, 200, 'text/css; charset=utf-8', files.style);
  else if (!(await line.enter())) {
    response.setHeader('Retry-After', '1');
    send(response, 503, plain, 'too many ask at once; ask again in a second');
  } else {
    try {
      const found = await content.ask(url.pathname, url.searchParams);
      if (found === undefined) send(response, 404, plain, 'there is no such page');
      else
        send(
          response,
          200,
          'application/json',
          found instanceof Uint8Array ? found : escapeJson(JSON.stringify(found)),
        );
    } finally {
      line.leave();
    }
  }
}

/** Those who ask, a few at a time. */
class Line {
  #working = 0;
  readonly #waiting: (() => void)[] = [];

  /** Waits for one's turn; false where too many wait already. */
  async enter(): Promise<boolean> {
    if (this.#working >= atOnce) {
      if (this.#waiting.length >= mayWait) return false;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#working++;
    return true;
  }

  leave(): void {
    this.#working--;
    this.#waiting.shift()?.();
  }
}

/** Compares in a time that does not tell how much is right. */
function isSame(given: string | undefined, secret: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return given !== undefined && timingSafeEqual(digest(given), digest(secret));
}

function cookieOf({ headers }: IncomingMessage, name: string): string | undefined {
  const pair = headers.cookie?.split(/; */).find((one) => one.startsWith(`${name}=`));
  return pair?.slice(name.length + 1);
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

function send(response: ServerResponse, status: number, type: string, body: string | Uint8Array): void {
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
