// The tag on the sites of other people: their upload views, and their ways to count (issue 4, line 6). What they count
// drives the bar, only their answer ends it, and the row says what that answer is worth.

import type { Locator, Page } from '@playwright/test';
import type { PlimsollUpload } from '../../public/upload-widget.js';
import { exampleScripts } from '../fixtures/example';
import { MIB, type Sample } from '../fixtures/files';
import { NetProxy } from '../fixtures/netproxy';
import { type Answer, type Counter, MOST, Nginx, Other, PIECE, TOKEN } from '../fixtures/others';
import { Widget } from '../fixtures/page';
import { Pages } from '../fixtures/pages';
import { expect, test as base } from '../fixtures/test';

const MB = 1_000_000;
const TAKEN = 'Sent; the server took it and does not say what it stored';

interface Kind {
  name: string;
  counter: Counter;
  /** The attribute. */
  progress: string;
  /** A real nginx stands before the site, with this template. */
  real?: 'json' | 'jsonp' | 'java';
}

const KINDS: Kind[] = [
  { name: 'nginx, JSON', counter: 'nginx', progress: '/progress; dialect=nginx' },
  { name: 'nginx, JSONP', counter: 'nginx-jsonp', progress: '/progress?callback=told; dialect=nginx' },
  { name: 'nginx, "java"', counter: 'nginx-java', progress: '/progress; dialect=nginx' },
  { name: 'a real nginx, JSON', counter: 'nobody', progress: '/progress; dialect=nginx', real: 'json' },
  { name: 'a real nginx, JSONP', counter: 'nobody', progress: '/progress?callback=told; dialect=nginx', real: 'jsonp' },
  { name: 'Django, asked by id', counter: 'django', progress: '/progress; dialect=django' },
  { name: 'Django, asked by token', counter: 'django-key', progress: `/progress?key=${TOKEN}; dialect=django` },
];

/** A site of somebody else, opened. */
class Guest extends Widget {
  readonly host: Locator = this.page.locator('plimsoll-upload');

  /** The sentence beside a file. */
  reason(name: string): Locator {
    return this.row(name).locator('[data-pl-reason]');
  }

  status(name: string): Locator {
    return this.row(name).locator('[data-pl-status]');
  }

  /** Sets hooks as a page's script does, with our token at hand, and waits until the widget has them. */
  async hook(set: (host: PlimsollUpload, token: string) => void): Promise<void> {
    const host = await this.host.evaluateHandle((host) => host as PlimsollUpload);
    await this.page.evaluate(([set, host, token]) => (new Function('host', 'token', `(${set})(host, token)`) as typeof hooker)(host, token), [set.toString(), host, TOKEN] as const);
    await this.hydrated();
  }

  /** Takes a file off the list. */
  async remove(name: string): Promise<void> {
    await this.button('remove', name).click();
    await expect(this.row(name)).toHaveCount(0);
  }

  /** Sends a file once for each of these answers of the site, which is said to be why it failed; none is left in the list. */
  async refusals(other: Other, sample: Sample, answers: readonly (readonly [Answer, string])[]): Promise<void> {
    for (const [answer, reason] of answers) {
      other.view = () => answer;
      await this.pick(sample);
      await this.waitState(sample.name, 'failed');
      await expect(this.reason(sample.name)).toHaveText(reason);
      await this.remove(sample.name);
    }
  }
}
declare global {
  interface Window {
    /** Addresses of the forms that the page's own requests were opened for. */
    plOpened: string[];
    /** Whether a hook was asked again, each time it was asked. */
    plAsked: boolean[];
    /** What the tag has complained of. */
    plComplaints: string[];
  }
}
declare function hooker(host: PlimsollUpload, token: string): void;

const SIGN_IN = 'Not signed in, or the session has ended. Please sign in and try again.';

interface Place {
  kind: Kind;
  other: Other;
  /** In front of it all. */
  line: NetProxy;
  guest: Guest;
}

const test = base.extend<Place>({
  kind: [{ name: 'plain', counter: 'nobody', progress: '' }, { option: true }],
  other: async ({ kind }, use) => {
    const other = await Other.start(kind.counter);
    await use(other);
    await other.stop();
  },
  line: async ({ kind, other }, use) => {
    const nginx = kind.real && (await Nginx.start(other.url, kind.real));
    const line = await NetProxy.start(nginx ? nginx.socket : other.url);
    await use(line);
    await line.stop();
    await nginx?.stop();
  },
  guest: async ({ kind, other, line, server, page, silence }, use) => {
    silence.listen(page);
    const progress = kind.progress && ` progress="${kind.progress}"`;
    other.write(
      server.url,
      `<plimsoll-upload protocol="form"${progress}><form action="/upload" method="post" enctype="multipart/form-data">` +
        `<input type="hidden" name="csrfmiddlewaretoken" value="${TOKEN}"><input type="file" name="photo" multiple><button>Send</button></form></plimsoll-upload>`,
    );
    await page.addInitScript(() => {
      window.plOpened = [];
      const open = XMLHttpRequest.prototype.open as (...args: unknown[]) => void;
      XMLHttpRequest.prototype.open = function (this: XMLHttpRequest, ...args: unknown[]) {
        if (args[0] === 'POST') window.plOpened.push(String(args[1]));
        open.apply(this, args);
      } as typeof XMLHttpRequest.prototype.open;
    });
    const guest = new Guest(page, line.url);
    await guest.open();
    await use(guest);
  },
});

for (const kind of KINDS) {
  test.describe(kind.name, () => {
    test.use({ kind });

    test.beforeAll(async () => {
      const missing = kind.real ? await Nginx.missing() : '';
      if (missing) console.log(`Skipped: ${missing}`);
      test.skip(!!missing, missing);
    });

    test('the bar follows their count, and is full only with their answer, which is worth what it says', async ({ guest, line, other, files }) => {
      const sample = await files.sample('slow.bin', 6 * MB);
      await guest.record();
      line.behave({ kind: 'slow', rate: 2 * MB });
      await guest.pick(sample);
      await expect(guest.row(sample.name)).toHaveCount(1);
      // Django counts a piece as soon as it has begun.
      const ahead = kind.counter.startsWith('django') ? PIECE : 0;
      for (;;) {
        const row = await guest.read(sample.name);
        expect(row.received).toBeLessThanOrEqual(line.passed + ahead);
        if (row.state === 'done') break;
        expect(['queued', 'sending', 'processing'], JSON.stringify(row)).toContain(row.state);
        expect(row.percent).toBeLessThan(100);
        await guest.page.evaluate(() => new Promise(requestAnimationFrame));
      }
      const moments = await guest.moments();
      const moving = moments.filter(({ state, witness, received, size }) => state === 'sending' && witness === 'server' && received > 0 && received < size);
      expect(new Set(moving.map(({ received }) => received)).size, 'it moves by their count').toBeGreaterThanOrEqual(3);
      expect(moments.filter(({ percent, state }) => percent === 100 && state !== 'done')).toEqual([]);
      await expect(guest.status(sample.name)).toHaveText(TAKEN);
      expect(await guest.host.evaluate((host: PlimsollUpload) => host.receipts.map(({ proof, name, size }) => ({ proof, name, size })))).toEqual([
        { proof: 'accepted', name: sample.name, size: sample.size },
      ]);

      // What they were sent, and asked.
      expect(line.uploads).toHaveLength(1);
      const [upload] = other.uploads;
      expect(upload?.files?.[0]?.length).toBe(sample.size);
      const id = new URLSearchParams(upload?.url.split('?')[1]).get('X-Progress-ID') ?? '';
      expect(id).not.toBe('');
      expect(upload?.fields).toEqual([['csrfmiddlewaretoken', TOKEN], ['X-Progress-ID', id], ['photo', sample.name]]);
      expect(Object.keys(upload?.headers ?? {}).filter((name) => /^(x-progress|plimsoll)/.test(name)), 'no headers that a site would have to allow').toEqual([]);
      if (!kind.real) {
        const query = { nginx: `?X-Progress-ID=${id}`, 'nginx-jsonp': `?callback=told&X-Progress-ID=${id}`, 'django-key': `?key=${TOKEN}` }[kind.counter as string];
        expect(new Set(other.questions)).toEqual(new Set([query ?? `?X-Progress-ID=${id}`]));
      }
    });

    test('all is received and the answer is late: not done', async ({ guest, line, other, files }) => {
      const sample = await files.sample('held.bin', MIB);
      line.behave({ kind: 'hold', frames: 'true' });
      await guest.record();
      await guest.pick(sample);
      await guest.waitState(sample.name, 'processing');
      await expect.poll(() => other.uploads[0]?.files?.length, 'the site has all of it').toBe(1);
      // Their count has been heard after their end of it as well.
      const asked = line.asked.get('/progress') ?? 0;
      await expect.poll(() => line.asked.get('/progress') ?? 0).toBeGreaterThanOrEqual(asked + 2);
      const row = await guest.read(sample.name);
      expect(row.state).toBe('processing');
      expect(row.percent).toBeLessThan(100);
      line.release();
      expect(await guest.waitState(sample.name, 'done')).toMatchObject({ percent: 100, valueNow: 100 });
      await expect(guest.status(sample.name)).toHaveText(TAKEN);
      expect(line.uploads).toHaveLength(1);
    });

    test('a refusal by the view stands beside the file in its own words', async ({ guest, other, files, silence }) => {
      silence.allowFailedRequests();
      const sample = await files.sample('refused.bin', MIB);
      await guest.refusals(other, sample, [
        [{ status: 422, type: 'text/plain; charset=utf-8', body: 'Only photos of boats, please.\n' }, 'Only photos of boats, please.'],
        [{ status: 400, type: 'application/json', body: '{"detail": "No boat on it."}' }, 'No boat on it.'],
      ]);
      expect(other.uploads, 'asked once each').toHaveLength(2);
    });

    test('a file larger than they take is refused, once', async ({ guest, line, files, silence }) => {
      silence.allowFailedRequests();
      const sample = await files.sample('large.bin', MOST + MIB);
      await guest.pick(sample);
      await guest.waitState(sample.name, 'failed');
      await expect(guest.row(sample.name)).toHaveAttribute('data-error', 'too-large');
      await expect(guest.reason(sample.name)).toHaveText('The file is larger than allowed.');
      // A real nginx answers before it has read all and hangs up, and its answer may be lost with the connection: that
      // is a broken line, and one that is tried again. An answer that came is never asked for twice.
      const opened = await guest.page.evaluate(() => window.plOpened.length);
      if (kind.real) expect(opened).toBeLessThanOrEqual(3);
      else expect([opened, line.uploads.length]).toEqual([1, 1]);
    });

    test('a connection that is reset: sent again under another id, and told by that one', async ({ guest, line, other, files, silence }) => {
      // Firefox now and then stops for good after a reset: such a try is given up after half a minute.
      test.setTimeout(120_000);
      silence.allowFailedRequests();
      const sample = await files.sample('reset.bin', 4 * MIB);
      line.behave({ kind: 'reset', after: MIB, times: 3 });
      await guest.pick(sample);
      await guest.waitState(sample.name, 'done', 80_000);
      const idOf = (url: string) => new URLSearchParams(url.split('?')[1]).get('X-Progress-ID') ?? '';
      const opened = await guest.page.evaluate(() => window.plOpened);
      // A browser may send a request again by itself, then under the same id.
      expect(opened.length).toBeGreaterThanOrEqual(2);
      expect(new Set(opened.map(idOf)).size, 'as many ids as requests').toBe(opened.length);
      expect(new Set(line.uploads.map(({ url }) => idOf(url)))).toEqual(new Set(opened.map(idOf)));
      expect(other.uploads.at(-1)?.files?.[0]?.length).toBe(sample.size);
    });

    test('whom they have never heard of is not lost: the browser counts, and their answer ends it', async ({ guest, line, other, files }) => {
      test.skip(!!kind.real, 'a real one cannot be made to forget');
      const sample = await files.sample('unheard.bin', 6 * MB);
      other.blind = true;
      await guest.record();
      line.behave({ kind: 'slow', rate: 2 * MB });
      await guest.pick(sample);
      await guest.waitState(sample.name, 'done');
      const moments = await guest.moments();
      expect(moments.filter(({ state, error }) => state === 'failed' || error !== null)).toEqual([]);
      expect(moments.filter(({ witness, state }) => witness === 'server' && state !== 'done')).toEqual([]);
      expect(other.questions.length).toBeGreaterThanOrEqual(3);
      expect(line.uploads).toHaveLength(1);
      await expect(guest.status(sample.name)).toHaveText(TAKEN);
    });
  });
}

test.describe('Django’s guard against forged requests', () => {
  test.use({ kind: { name: '', counter: 'django', progress: '/progress; dialect=django' } });

  test('an old token is asked for once more, and no more than once; and their count is asked for with the new one', async ({ guest, line, other, files, silence }) => {
    silence.allowFailedRequests();
    const sample = await files.sample('token.bin', 4 * MB);
    // Django looks at the field first: the old one in the form must not go along with the new header.
    await guest.host.evaluate((host: PlimsollUpload) => ((host.querySelector('[name=csrfmiddlewaretoken]') as HTMLInputElement).value = 'old'));
    await guest.hook((host, token) => {
      window.plAsked = [];
      host.beforeRequest = (_file, again) => {
        window.plAsked.push(again);
        return Promise.resolve(again ? { headers: { 'X-CSRFToken': token }, fields: { csrfmiddlewaretoken: token } } : { headers: { 'X-CSRFToken': 'old' } });
      };
    });
    line.behave({ kind: 'slow', rate: 2 * MB });
    await guest.pick(sample);
    await guest.waitState(sample.name, 'done');
    expect(other.uploads.map(({ headers }) => headers['x-csrftoken'])).toEqual(['old', TOKEN]);
    expect(other.uploads.map(({ fields }) => fields?.filter(([name]) => name === 'csrfmiddlewaretoken'))).toEqual([[['csrfmiddlewaretoken', 'old']], [['csrfmiddlewaretoken', TOKEN]]]);
    expect(await guest.page.evaluate(() => window.plAsked)).toEqual([false, true]);
    const tokens = other.asked.map((headers) => headers['x-csrftoken']);
    expect(new Set(tokens)).toEqual(new Set(['old', TOKEN]));
    expect(tokens.lastIndexOf('old'), 'none with the old one after the new one').toBeLessThan(tokens.indexOf(TOKEN));

    line.release();
    await guest.hook((host) => {
      host.clear();
      host.beforeRequest = () => ({ headers: { 'X-CSRFToken': 'never' } });
    });
    await guest.pick(sample);
    await guest.waitState(sample.name, 'failed');
    await expect(guest.reason(sample.name)).toHaveText(SIGN_IN);
    expect(other.uploads.slice(2).map(({ headers }) => headers['x-csrftoken'])).toEqual(['never', 'never']);
  });

  test('without a token the refusal is told and not tried again', async ({ guest, other, files, silence, page }) => {
    silence.allowFailedRequests();
    const sample = await files.sample('forged.bin', 1000);
    await page.context().clearCookies();
    await guest.pick(sample);
    await guest.waitState(sample.name, 'failed');
    await expect(guest.row(sample.name)).toHaveAttribute('data-error', 'forbidden');
    await expect(guest.reason(sample.name)).toHaveText('The server does not allow this.');
    expect(other.uploads).toHaveLength(1);
  });

  test('a session that has ended: led to where one signs in is not taken, though the page there is found', async ({ guest, line, other, files }) => {
    const sample = await files.sample('session.bin', 1000);
    let signedIn = false;
    other.pages.set('/login/', { status: 200, type: 'text/html', body: '<!doctype html><title>Sign in</title><form method="post"><input type="password" name="p"></form>' });
    other.pages.set('/photos/', { status: 200, type: 'text/html', body: '<!doctype html><title>Your photos</title>' });
    // As Django's login_required and redirect() do.
    other.view = ({ url }) => ({ status: 302, headers: { location: signedIn ? '/photos/' : `/login/?next=${encodeURIComponent(url).replaceAll('%2F', '/')}` } });
    await guest.pick(sample);
    await guest.waitState(sample.name, 'failed');
    await expect(guest.row(sample.name)).toHaveAttribute('data-error', 'unauthorized');
    await expect(guest.reason(sample.name)).toHaveText(SIGN_IN);
    expect(await guest.host.evaluate((host: PlimsollUpload) => host.receipts)).toEqual([]);
    expect(line.uploads, 'asked once').toHaveLength(1);
    // The person signs in elsewhere, and tries again.
    signedIn = true;
    await guest.button('retry', sample.name).click();
    await guest.waitState(sample.name, 'done');
    await expect(guest.status(sample.name)).toHaveText(TAKEN);
  });

  test('the address to come back to is known in every writing, and a page that only tells where it came from is none', async ({ guest, other, files }) => {
    const sample = await files.sample('way-back.bin', 1000);
    const html = { status: 200, type: 'text/html', body: '<!doctype html><title>Some page</title>' };
    for (const path of ['/login', '/done']) other.pages.set(path, html);
    const host = encodeURIComponent(new URL(guest.base).origin);
    for (const [location, state] of [
      ['/login?ReturnUrl=%2Fupload', 'failed'],
      [`/login?a=b&rd=${host}%2Fupload`, 'failed'],
      ['/login?a=b', 'done'],
      ['/done?of=/upload/7', 'done'],
      ['/done?of=/uploads', 'done'],
      ['/done', 'done'],
    ] as const) {
      other.view = () => ({ status: 303, headers: { location } });
      await guest.pick(sample);
      expect((await guest.waitState(sample.name, ['done', 'failed'])).state, location).toBe(state);
      await guest.remove(sample.name);
    }
  });

  /** Where the page read the answers, the page to sign in was not known for one: the row had the words of a JSON parser. */
  test('what the example reads the answers with knows the page where one signs in', async ({ guest, other, files, silence }) => {
    silence.allowFailedRequests();
    const sample = await files.sample('read.bin', 1000);
    other.pages.set('/login/', { status: 200, type: 'text/html', body: '<!doctype html><title>Sign in</title>' });
    await guest.page.evaluate(`{ const photos = document.querySelector('plimsoll-upload'); ${exampleScripts().readAnswer} }`);
    await guest.hydrated();
    await guest.refusals(other, sample, [
      [{ status: 302, headers: { location: '/login/?next=/upload' } }, 'Please sign in, and try again.'],
      [{ status: 403, type: 'text/html', body: '<h1>Forbidden</h1>' }, 'The site answered 403.'],
    ]);
    other.view = () => ({ status: 302, headers: { location: '/login/?next=/upload' } });
    await guest.pick(sample);
    await guest.waitState(sample.name, 'failed');
    // The person signs in elsewhere, and tries again.
    other.view = () => ({ status: 200, type: 'application/json', body: '{"url": "/photos/1/", "size": 1000}' });
    await guest.button('retry', sample.name).click();
    await guest.waitState(sample.name, 'done');
    expect(await guest.host.evaluate((host: PlimsollUpload) => host.receipts.map(({ proof, url }) => [proof, url]))).toEqual([['stored', '/photos/1/']]);
  });

  test('signed in again by the page, once, and sent again', async ({ guest, other, files }) => {
    const sample = await files.sample('again.bin', 1000);
    other.pages.set('/login/', { status: 200, type: 'text/html', body: '<!doctype html><title>Sign in</title>' });
    other.view = ({ headers }) => (headers.authorization === 'Bearer new' ? { status: 204 } : { status: 302, headers: { location: '/login/?next=/upload' } });
    await guest.hook((host) => {
      host.beforeRequest = (_file, again) => ({ headers: { Authorization: again ? 'Bearer new' : 'Bearer old' } });
    });
    await guest.pick(sample);
    await guest.waitState(sample.name, 'done');
    expect(other.uploads.map(({ headers }) => headers.authorization)).toEqual(['Bearer old', 'Bearer new']);
  });
});

test.describe('a site that nobody counts for', () => {
  for (const [what, answer] of [
    ['200 and a text of its own', { status: 200, type: 'text/plain', body: 'thank you' }],
    ['201 and JSON of its own', { status: 201, type: 'application/json', body: '{"pk": 5, "files": 1}' }],
    ['204 and nothing', { status: 204 }],
  ] as const) {
    test(`${what}: taken, and not more is said`, async ({ guest, line, other, files }) => {
      const sample = await files.sample('plain.bin', 6 * MB);
      other.view = () => answer;
      await guest.record();
      line.behave({ kind: 'stall', after: 3 * MB });
      await guest.pick(sample);
      const sum = guest.total.locator('[part=sum]');
      await expect(sum, 'as many bytes as the bar shows, which the browser counts').toHaveText(/^0 of 1 file stored · [1-6](\.\d)? MB of 6 MB/);
      line.release();
      await guest.waitState(sample.name, 'done');
      await expect(guest.status(sample.name)).toHaveText(TAKEN);
      await expect(sum, 'nobody has called it stored').toHaveText('1 file sent');
      await expect(guest.host.locator('[data-pl-announcer]')).toHaveText('1 file sent');
      const moments = await guest.moments();
      expect(moments.filter(({ percent, state }) => percent === 100 && state !== 'done')).toEqual([]);
      expect(moments.filter(({ witness }) => witness === 'server')).toEqual([]);
      expect(other.uploads.map(({ url }) => url)).toEqual(['/upload']);
      expect(other.questions, 'nobody is asked').toEqual([]);
      expect(other.uploads[0]?.fields).toEqual([['csrfmiddlewaretoken', TOKEN], ['photo', sample.name]]);
    });
  }

  test('the page refuses, renames, adds fields, and reads their answer', async ({ guest, other, files }) => {
    other.view = ({ fields = [] }) => ({ status: 200, type: 'application/json', body: JSON.stringify({ at: '/photos/7', bytes: 1000, album: fields.find(([name]) => name === 'album')?.[1] }) });
    await guest.hook((host) => {
      host.addEventListener('plimsoll-before-upload', (event) => {
        if (event.detail.file.name === 'no.bin') return event.preventDefault();
        event.detail.rename('boat é.bin');
        event.detail.fields.album = 'sea';
      });
      host.readAnswer = (status, text) => {
        const said = JSON.parse(text) as { at: string; bytes: number; album: string };
        if (status !== 200 || said.album !== 'sea') throw new Error('Not in the album.');
        return { url: said.at, size: said.bytes, name: 'boat é.bin' };
      };
    });
    await guest.pick(await files.sample('no.bin', 1000), await files.sample('yes.bin', 1000));
    await guest.waitState('no.bin', 'rejected');
    const sent = guest.host.locator('[data-pl-row][data-state=done]');
    await expect(sent).toHaveCount(1);
    await expect(guest.reason('no.bin')).toHaveText('This page does not send this file.');
    await expect(sent.locator('[data-pl-status]')).toHaveText('Stored');
    expect(other.uploads.map(({ fields }) => fields)).toEqual([[['csrfmiddlewaretoken', TOKEN], ['album', 'sea'], ['photo', 'boat é.bin']]]);
    expect(await guest.host.evaluate((host: PlimsollUpload) => host.receipts.map(({ proof, url }) => [proof, url]))).toEqual([['stored', '/photos/7']]);
  });

  test('the page tells by the address what a page means that answers for success and for refusal alike', async ({ guest, other, files }) => {
    const sample = await files.sample('form.bin', 1000);
    other.pages.set('/photos/', { status: 200, type: 'text/html', body: '<!doctype html><title>Your photos</title>' });
    other.view = () => ({ status: 200, type: 'text/html', body: '<!doctype html><p class="errorlist">Upload a valid image.</p>' });
    await guest.hook((host) => {
      host.readAnswer = (_status, text, url) => {
        if (new URL(url).pathname === '/photos/') return {};
        throw new Error(new DOMParser().parseFromString(text, 'text/html').querySelector('.errorlist')?.textContent ?? 'No.');
      };
    });
    await guest.pick(sample);
    await guest.waitState(sample.name, 'failed');
    await expect(guest.reason(sample.name)).toHaveText('Upload a valid image.');
    await guest.remove(sample.name);
    other.view = () => ({ status: 302, headers: { location: '/photos/' } });
    await guest.pick(sample);
    await guest.waitState(sample.name, 'done');
    await expect(guest.status(sample.name)).toHaveText(TAKEN);
  });

  test('what a server writes is text, of bounded length, and changes no order but its own; pages and status lines are no reasons', async ({ guest, other, files, silence }) => {
    silence.allowFailedRequests();
    const sample = await files.sample('words.bin', 1000);
    const plain = 'text/plain; charset=utf-8';
    for (const [answer, reason] of [
      [{ status: 422, type: plain, body: '<img src=x onerror=alert(1)> & more' }, '<img src=x onerror=alert(1)> & more'],
      [{ status: 422, type: plain, body: `\n ${'é'.repeat(201)}` }, `${'é'.repeat(200)}…`],
      [{ status: 422, type: 'application/json', body: JSON.stringify({ error: 'x'.repeat(5000) }) }, `${'x'.repeat(200)}…`],
      [{ status: 422, type: 'application/json', body: '"Only PDF, please."' }, 'Only PDF, please.'],
      [{ status: 403, type: plain, body: 'فقط للأعضاء' }, 'فقط للأعضاء'],
      [{ status: 403, type: 'text/html', body: '<!doctype html><title>403 Forbidden</title>' }, 'The server does not allow this.'],
      [{ status: 413, type: plain, body: 'Payload Too Large\n' }, 'The file is larger than allowed.'],
      [{ status: 422, type: plain, body: '' }, 'The server could not store the file.'],
    ] as const) {
      other.view = () => answer;
      await guest.pick(sample);
      await guest.waitState(sample.name, 'failed');
      await expect(guest.reason(sample.name)).toHaveText(reason);
      expect(await guest.reason(sample.name).locator('bdi').innerText(), 'in a place of its own').toBe(reason);
      expect(await guest.reason(sample.name).locator('img').count()).toBe(0);
      await guest.remove(sample.name);
    }
    // What a program throws up is for who runs it.
    await guest.host.evaluate((host) => host.setAttribute('retries', '0'));
    await guest.hydrated();
    other.view = () => ({ status: 500, type: plain, body: 'ValueError at /upload\n\nTraceback (most recent call last):' });
    await guest.pick(sample);
    await guest.waitState(sample.name, 'failed');
    await expect(guest.reason(sample.name)).toHaveText('The server could not store the file.');
  });
});

test.describe('a site that makes elements from no text that nobody has vouched for (Trusted Types)', () => {
  /** Its upload view, with more in its head; heard are the complaints of the tag. */
  async function open(page: Page, server: string, site: Pages, head = ''): Promise<() => Promise<string[]>> {
    const policy = '<meta http-equiv="Content-Security-Policy" content="require-trusted-types-for \'script\'">';
    const hear = '<script>window.plComplaints = []; addEventListener("plimsoll-error", ({ detail }) => plComplaints.push(detail.message));</script>';
    site.page('/photos/', '', 'thank you');
    site.page(
      '/',
      server,
      '<plimsoll-upload><form action="/photos/" method="post" enctype="multipart/form-data">' +
        '<input type="hidden" name="album" value="sea"><input type="file" name="photo" multiple><button>Send</button></form></plimsoll-upload>',
      policy + hear + head,
    );
    await page.goto(`${site.url}/`);
    return () => page.evaluate(() => window.plComplaints);
  }

  test('the tag says that it cannot start, and the form inside of it is the form it was', async ({ page, server, files, silence }) => {
    silence.listen(page);
    const site = await Pages.start();
    try {
      const complaints = await open(page, server.url, site);
      const sample = await files.sample('trusted.bin', 1000);
      const form = page.locator('plimsoll-upload > form');
      if (await page.evaluate(() => 'trustedTypes' in window)) {
        // As the browser has it, and as it says so itself.
        const refusal = /TrustedHTML|Sink type mismatch|require-trusted-types-for/;
        silence.allow(refusal);
        await expect.poll(complaints).toEqual([expect.stringMatching(refusal)]);
        await expect.poll(() => silence.said.filter((line) => line.startsWith('console.error: <plimsoll-upload>: '))).toEqual([expect.stringMatching(refusal)]);
        expect(await page.locator('plimsoll-upload').evaluate((tag: PlimsollUpload) => [tag.shadowRoot, tag.files, tag.busy, tag.validity.valid])).toEqual([null, [], false, true]);
        await expect(form.locator('[disabled]')).toHaveCount(0);
        await form.locator('input[type=file]').setInputFiles(sample.path);
        await form.getByRole('button', { name: 'Send' }).click();
        await expect(page.locator('body')).toHaveText('thank you');
      } else {
        // A browser that knows of no such rule keeps none.
        await page.locator('plimsoll-upload [data-pl-input]').setInputFiles(sample.path);
        await expect(page.locator('plimsoll-upload [data-pl-row]')).toHaveAttribute('data-state', 'done');
        await expect(form).toBeHidden();
        expect(await complaints()).toEqual([]);
      }
      expect(site.posted.map(({ path, fields }) => [path, fields])).toEqual([['/photos/', [['album', 'sea'], ['photo', sample.name]]]]);
    } finally {
      await site.stop();
    }
  });

  test('where the site vouches for what its scripts make from text, the tag starts', async ({ page, server, files, silence }) => {
    silence.listen(page);
    const site = await Pages.start();
    try {
      const complaints = await open(page, server.url, site, '<script>window.trustedTypes?.createPolicy("default", { createHTML: (text) => text });</script>');
      const sample = await files.sample('vouched.bin', 1000);
      await page.locator('plimsoll-upload [data-pl-input]').setInputFiles(sample.path);
      await expect(page.locator('plimsoll-upload [data-pl-row]')).toHaveAttribute('data-state', 'done');
      await expect(page.locator('plimsoll-upload > form')).toBeHidden();
      expect(await complaints()).toEqual([]);
    } finally {
      await site.stop();
    }
  });
});
