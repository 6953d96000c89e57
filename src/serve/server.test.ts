import assert from 'node:assert/strict';
import { type IncomingHttpHeaders, request } from 'node:http';
import { after, before, test } from 'node:test';
import { NoAnswer, serve } from './server.ts';

let address: string;
let token: string;
let end: () => void;
const failures: unknown[] = [];
before(async () => {
  const files = { script: 'script', style: 'style' };
  const ask = async (path: string, query: URLSearchParams) => {
    if (path === '/api/broken') throw new TypeError("Cannot read properties of undefined (reading 'x')");
    if (path === '/api/nothing') throw new NoAnswer('there is nothing in that stretch');
    if (path === '/api/slow') await new Promise((resolve) => setTimeout(resolve, 20));
    return path === '/api/page' ? { asked: query.get('what') } : undefined;
  };
  const started = await serve({ files, ask, failed: (error) => failures.push(error) }, 0);
  const url = new URL(started.address);
  token = url.searchParams.get('token') as string;
  address = `${url.origin}/`;
  end = () => started.server.close();
});
after(() => end());

type Answer = { status: number; headers: IncomingHttpHeaders; body: string };

/** Asks with the cookie, otherwise as it is told to: paths and headers are sent as they are. */
function ask(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return askBare(path, { Cookie: `other=1; virtap-${new URL(address).port}=${token}`, ...headers }, method);
}

function askBare(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  const { hostname, port } = new URL(address);
  return new Promise((resolve, reject) => {
    const asked = request({ hostname, port, path, headers, method, agent: false }, (response) => {
      let body = '';
      response.on('data', (bytes) => {
        body += bytes;
      });
      response.on('end', () => resolve({ status: response.statusCode as number, headers: response.headers, body }));
    });
    asked.on('error', reject);
    asked.end();
  });
}

test('the page and its answers are served, on 127.0.0.1 only', async () => {
  assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/$/);
  assert.match((await ask('/')).body, /<script src="\/page\.js">/);
  assert.equal((await ask('/page.js')).body, 'script');
  assert.deepEqual(JSON.parse((await ask('/api/page?what=a%20b')).body), { asked: 'a b' });
  assert.equal((await ask('/', {}, 'HEAD')).body, '');
});

test('whoever has not the secret gets nothing, whatever he asks', async () => {
  const { port } = new URL(address);
  const paths = ['/', '/page.js', '/page.css', '/api/page', '/api/slow', '/nothing', '//', '/%'];
  const wrong = ['', 'x', token.slice(1), `${token}x`, token.toUpperCase()];
  for (const path of paths) {
    assert.equal((await askBare(path)).status, 403, path);
    for (const secret of wrong) {
      assert.equal((await askBare(`${path}?token=${secret}`)).status, 403, path);
      assert.equal((await askBare(path, { Cookie: `virtap-${port}=${secret}` })).status, 403, path);
    }
    const { body, headers } = await askBare(path);
    assert.ok(!body.includes(token));
    assert.equal(headers['set-cookie'], undefined);
  }
  for (const method of ['POST', 'HEAD', 'OPTIONS']) assert.equal((await askBare('/', {}, method)).status, 403);
  assert.ok(token.length >= 32);
});

test('the address lets in, and gives the cookie with which the page asks', async () => {
  const { port } = new URL(address);
  const { status, headers } = await askBare(`/?token=${token}`);
  assert.equal(status, 200);
  assert.deepEqual(headers['set-cookie'], [`virtap-${port}=${token}; Path=/; HttpOnly; SameSite=Strict`]);
  assert.equal((await askBare('/api/page', { Cookie: `virtap-${port}=${token}` })).status, 200);
  assert.equal((await askBare(`/api/page?token=${token}`)).status, 200);
  // Another's cookie, of the same host, is not ours.
  assert.equal((await askBare('/api/page', { Cookie: `virtap-1=${token}` })).status, 403);
});

test('a thousand who ask at once are answered, or asked to come again', async () => {
  for (const [path, statuses] of [
    ['/', [200]],
    ['/api/page', [200]],
    ['/api/slow', [404, 503]],
  ] as const) {
    const answers = await Promise.all(Array.from({ length: 1000 }, () => ask(path)));
    for (const { status, headers } of answers) {
      assert.ok((statuses as readonly number[]).includes(status), `${path} ${status}`);
      if (status === 503) assert.match(headers['retry-after'] as string, /^\d+$/);
    }
  }
});

test('requests that name another host are refused: a name that was made to lead here', async () => {
  const { port } = new URL(address);
  for (const host of [
    'evil.example',
    `evil.example:${port}`,
    '127.0.0.1:1',
    '127.0.0.1',
    `127.0.0.1:${port}.evil.example`,
  ])
    assert.equal((await ask('/api/page', { Host: host })).status, 403, host);
  assert.equal((await ask('/', { Host: `localhost:${port}` })).status, 200);
});

test('requests of other pages are refused, links to the page are not', async () => {
  for (const origin of [
    'http://evil.example',
    'null',
    'http://127.0.0.1:1',
    address.replace('http:', 'https:').slice(0, -1),
  ])
    assert.equal((await ask('/api/page', { Origin: origin })).status, 403, origin);
  assert.equal((await ask('/api/page', { Origin: address.slice(0, -1) })).status, 200);
  assert.equal((await ask('/api/page', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' })).status, 403);
  assert.equal((await ask('/', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate' })).status, 200);
});

test('nothing can be changed, and no path leads to a file', async () => {
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) assert.equal((await ask('/', {}, method)).status, 405);
  for (const path of [
    '/../../etc/passwd',
    '/..%2f..%2fetc/passwd',
    '/package.json',
    '//etc/passwd',
    '/page.js/../x',
    '/%',
  ])
    assert.ok([400, 404].includes((await ask(path)).status), path);
});

test('every answer has the policy that keeps the page to itself, an error too', async () => {
  for (const path of ['/', '/page.js', '/page.css', '/api/page', '/nothing', '/api/broken']) {
    const { headers } = await ask(path);
    assert.match(
      headers['content-security-policy'] as string,
      /^default-src 'none'; script-src 'self'; style-src 'self'/,
      path,
    );
    assert.doesNotMatch(headers['content-security-policy'] as string, /unsafe/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['access-control-allow-origin'], undefined);
  }
  const broken = await ask('/api/broken');
  assert.equal(broken.status, 500);
  // What went wrong within is for who runs the server, not for who asks.
  assert.equal(broken.body, 'virtap could not answer; its terminal says why');
  assert.match(String(failures.at(-1)), /Cannot read properties/);
  const nothing = await ask('/api/nothing');
  assert.deepEqual([nothing.status, nothing.body], [404, 'there is nothing in that stretch']);
  assert.match(broken.headers['content-type'] as string, /^text\/plain/);
});
