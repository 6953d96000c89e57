import assert from 'node:assert/strict';
import { type IncomingHttpHeaders, request } from 'node:http';
import { after, before, test } from 'node:test';
import { serve } from './server.ts';

let address: string;
let end: () => void;
before(async () => {
  const files = { script: 'script', style: 'style' };
  const ask = async (path: string, query: URLSearchParams) => {
    if (path === '/api/broken') throw new Error('cannot be read: <b>');
    return path === '/api/page' ? { asked: query.get('what') } : undefined;
  };
  const started = await serve({ files, ask }, 0);
  address = started.address;
  end = () => started.server.close();
});
after(() => end());

type Answer = { status: number; headers: IncomingHttpHeaders; body: string };

/** Asks as it is told to: paths and headers are sent as they are. */
function ask(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
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
  assert.match(broken.headers['content-type'] as string, /^text\/plain/);
});
