// Stands behind nginx in place of an application: takes a request with a length, throws its body away, answers.
// Must never cost more than it has to: it shares the machine with what is measured. Prints its port.

import net from 'node:net';

const server = net.createServer((socket) => {
  let head = '';
  let due = -1;
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    if (due < 0) {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      due = Number(head.match(/\r\ncontent-length: *(\d+)/i)?.[1] ?? 0) - (head.length - end - 4);
      head = '';
    } else {
      due -= chunk.length;
    }
    if (due <= 0) {
      due = -1;
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
