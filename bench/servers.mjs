// Starts the servers that are compared, each on a free port, and stops every one of them whatever happens.
// Must never know what is measured.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.dirname(here);
const running = new Set();

/** `plimsoll serve`, release build, with its data in `folder`. */
export async function plimsoll(folder, ...options) {
  const program = path.join(root, 'target/release/plimsoll');
  if (!existsSync(program)) throw new Error(`There is no ${program}: run make build.`);
  const data = path.join(folder, 'data');
  const words = ['serve', '--addr', '127.0.0.1:0', '--data', data, '--site', path.join(root, 'target/site')];
  const child = start(program, [...words, '--log', 'warn', ...options], ['ignore', 'pipe', 'inherit']);
  const said = await line(child, / listens on http:\/\/[^ ]*:(\d+)/);
  return { name: 'plimsoll', pid: child.pid, port: Number(said[1]), stop: () => stop(child) };
}

/** Debian's nginx: `/put/` stores by its WebDAV module, `/post` hands a form on to a sink that throws it away. */
export async function nginx(folder) {
  const program = find('nginx');
  if (!program) return undefined;
  const sink = start(process.execPath, [path.join(here, 'sink.mjs')], ['ignore', 'pipe', 'inherit']);
  const sinkPort = Number((await line(sink, /^(\d+)$/m))[1]);
  const port = await freePort();
  mkdirSync(path.join(folder, 'put'), { recursive: true });
  const progress = ['/usr/lib/nginx/modules', '/usr/share/nginx/modules', '/usr/lib64/nginx/modules']
    .map((modules) => path.join(modules, 'ngx_http_uploadprogress_module.so'))
    .find(existsSync);
  const conf = path.join(folder, 'nginx.conf');
  writeFileSync(conf, nginxConf({ folder, port, sinkPort, progress }));
  const child = start(program, ['-p', folder, '-c', conf, '-e', 'stderr'], ['ignore', 'ignore', 'inherit']);
  await listens(port, child);
  return {
    name: 'nginx',
    pid: child.pid,
    port,
    hasProgress: progress !== undefined,
    stop: () => Promise.all([stop(child), stop(sink)]),
  };
}

/** Ends every server at once, with its children; for the way out. */
export function killAll() {
  for (const child of running) process.kill(-child.pid, 'SIGKILL');
}

/** As Debian ships it, where it matters: all cores, sendfile, buffered request bodies in a file. */
function nginxConf({ folder, port, sinkPort, progress }) {
  return `${progress ? `load_module ${progress};` : ''}
${process.getuid() === 0 ? 'user root;' : ''}
daemon off;
worker_processes auto;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_max_body_size 0;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  ${progress ? 'upload_progress uploads 1m;' : ''}
  server {
    listen 127.0.0.1:${port};
    location /put/ { root ${folder}; dav_methods PUT DELETE; }
    location /post {
      proxy_pass http://127.0.0.1:${sinkPort};
      proxy_http_version 1.1;
      ${progress ? 'track_uploads uploads 60s;' : ''}
    }
    ${progress ? 'location = /progress { report_uploads uploads; upload_progress_json_output; }' : ''}
  }
}
`;
}

function start(program, words, stdio) {
  // A process group of its own, so that nginx's workers can be ended with their master.
  const child = spawn(program, words, { stdio, env: clean(process.env), detached: true });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** The caller's own settings are not what is measured. */
function clean(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(PLIMSOLL|LEPTOS)_/.test(name)));
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await exit;
  clearTimeout(late);
}

/** The first match in what the process prints; fails when it leaves before. */
function line(child, pattern) {
  return new Promise((resolve, reject) => {
    let said = '';
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${child.spawnfile} left with ${code} before it listened.`)));
    child.stdout.on('data', (chunk) => {
      said += chunk;
      const match = said.match(pattern);
      if (match) resolve(match);
    });
  });
}

/** nginx says nothing when it is ready: ask until it answers. */
async function listens(port, child) {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`nginx left with ${child.exitCode}.`);
    const socket = net.connect(port, '127.0.0.1');
    const open = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'close').then(() => false)])
      .catch(() => false);
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

function find(name) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => path.join(folder, name)).find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
