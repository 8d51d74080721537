// <plimsoll-upload> in a page made with React 19. The page around it has the loader, once:
//
//   <script type="module" src="https://files.example/upload-widget.js"></script>
//
// and an element with the id `root`. React sets what the tag has as properties, so objects and functions can be given
// as they are, and listens to events by their full names.

import { useState } from 'react';
import { createRoot } from 'react-dom/client';
import type { PlimsollReceipt } from '../upload-widget.js';
import type {} from '../upload-widget-react.js';

function Letter() {
  const [attached, setAttached] = useState<PlimsollReceipt[]>([]);
  const [open, setOpen] = useState(true);
  return (
    <form method="post">
      <button type="button" onClick={() => setOpen(!open)}>
        {open ? 'No attachments' : 'Attachments'}
      </button>
      {open && (
        <plimsoll-upload
          name="attachment"
          accept=".bin, image/*"
          multiple={false}
          fields={{ letter: '42' }}
          onplimsoll-before-upload={({ detail }) => detail.file.size > 0 || detail.refuse('This file is empty.')}
          onplimsoll-stored={({ detail }) => setAttached((before) => [...before, detail.receipt])}
        />
      )}
      <ul>
        {attached.map(({ url, name }) => (
          <li key={url}>{name}</li>
        ))}
      </ul>
    </form>
  );
}

// Once the tag is defined: until then React would write an object, or a `false`, as an attribute's text.
const root = document.getElementById('root');
if (root) void customElements.whenDefined('plimsoll-upload').then(() => createRoot(root).render(<Letter />));
