// The tag on the sites of other people: their upload views, and their ways to count (issue 4, line 6). What they count
// drives the bar, only their answer ends it, and the row says what that answer is worth.

import type { Locator } from '@playwright/test';
import type { PlimsollUpload } from '../../public/upload-widget.js';
import { MIB } from '../fixtures/files';
import { NetProxy } from '../fixtures/netproxy';
import { type Counter, MOST, Nginx, Other, PIECE, TOKEN } from '../fixtures/others';
import { Widget } from '../fixtures/page';
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
}
declare global {
  interface Window {
    /** Addresses of the forms that the page's own requests were opened for. */
    plOpened: string[];
  }
}

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
      silence.allowFailedRequests();
      const sample = await files.sample('reset.bin', 4 * MIB);
      line.behave({ kind: 'reset', after: MIB, times: 3 });
      await guest.pick(sample);
      await guest.waitState(sample.name, 'done', 40_000);
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
      line.behave({ kind: 'slow', rate: 4 * MB });
      await guest.pick(sample);
      await guest.waitState(sample.name, 'done');
      await expect(guest.status(sample.name)).toHaveText(TAKEN);
      const moments = await guest.moments();
      expect(moments.filter(({ percent, state }) => percent === 100 && state !== 'done')).toEqual([]);
      expect(moments.filter(({ witness }) => witness === 'server')).toEqual([]);
      expect(other.uploads.map(({ url }) => url)).toEqual(['/upload']);
      expect(other.questions, 'nobody is asked').toEqual([]);
      expect(other.uploads[0]?.fields).toEqual([['csrfmiddlewaretoken', TOKEN], ['photo', sample.name]]);
    });
  }
});
