// The types of <plimsoll-upload> for JSX in React 19: import this file once, for its types only.

import type { DetailedHTMLProps, HTMLAttributes } from 'react';
import type { PlimsollUpload, PlimsollUploadProps } from './upload-widget.js';

type Plain = Omit<DetailedHTMLProps<HTMLAttributes<PlimsollUpload>, PlimsollUpload>, keyof PlimsollUploadProps>;

declare module 'react' {
  namespace JSX {
    interface IntrinsicElements {
      'plimsoll-upload': Plain & PlimsollUploadProps;
    }
  }
}
