// What kept the main thread of a page, as Chromium's own trace tells it. Must never know what the page is for.

import type { Page } from '@playwright/test';

/** The most that one task took, in milliseconds. */
export interface Longest {
  /** On the clock: so long everything else in the page had to wait. */
  took: number;
  /** Of a processor: without the time in which it waited for other processes, of the browser or of a busy machine. */
  worked: number;
}

/** What a trace tells; its times are those of all processes. */
interface Told {
  name: string;
  pid: number;
  tid: number;
  /** When it began and how long it took, in microseconds; and the same on the clock of the thread, which stands still while another is at work. */
  ts: number;
  dur: number;
  tts?: number;
  tdur?: number;
  args: { data?: { type?: string } };
}

/** Watches the page from now on; what it gives tells of the time before the first of these DOM events, and after each. */
export async function watchTasks(page: Page): Promise<(...events: string[]) => Promise<Longest[]>> {
  const session = await page.context().browser()!.newBrowserCDPSession();
  const told: Told[] = [];
  session.on('Tracing.dataCollected', ({ value }) => told.push(...(value as unknown as Told[])));
  const traceConfig = { recordMode: 'recordAsMuchAsPossible' as const, includedCategories: ['toplevel', 'devtools.timeline'] };
  await session.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig });
  return async (...events) => {
    const complete = new Promise((done) => session.once('Tracing.tracingComplete', done));
    await session.send('Tracing.end');
    await complete;
    await session.detach();
    const marks = events.map((event) => {
      const found = told.filter(({ name, args }) => name === 'EventDispatch' && args.data?.type === event);
      if (found.length === 0) throw new Error(`The trace tells of no ${event}`);
      return found.reduce((first, other) => (other.ts < first.ts ? other : first));
    });
    const tasks = told.filter(({ name, pid, tid, dur }) => name.endsWith('::RunTask') && dur >= 0 && pid === marks[0]?.pid && tid === marks[0].tid);
    /** Of a task that is under way when an event comes, one part lies before it and one after. */
    const longest = (from?: Told, to?: Told): Longest => {
      const span = (begin: number, length: number, least = -Infinity, most = Infinity) => (Math.min(begin + length, most) - Math.max(begin, least)) / 1000;
      return {
        took: tasks.reduce((most, { ts, dur }) => Math.max(most, span(ts, dur, from?.ts, to?.ts)), 0),
        worked: tasks.reduce((most, { tts = 0, tdur = 0 }) => Math.max(most, span(tts, tdur, from?.tts, to?.tts)), 0),
      };
    };
    return [undefined, ...marks].map((from, i) => longest(from, marks[i]));
  };
}
