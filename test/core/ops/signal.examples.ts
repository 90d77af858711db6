import { type Example, table } from "./define.examples.ts";

const dft = table({}, (x, settings = "") => `(x: float32[${x}]) y = DFT(x) {${settings}}`);
const along = table(
  {},
  (x, length, axis, settings = "") =>
    `(x: float32[${x}]) length: int64[] = ${length}; axis: int64[] = ${axis}; y = DFT(x, length, axis) {${settings}}`,
);
export const signalExamples: readonly Example[] = [
  ...dft`
    DFT of real numbers | batch, 6, 1
    DFT of complex numbers, inverse | batch, 5, 2 | inverse=1
    DFT of which half is kept | batch, 7, 1 | onesided=1
    DFT of opset 17, along another axis | opset 17 | 2, 3, 4, 1 | axis=2
    DFT back to real numbers | 2, 4, 2 | inverse=1, onesided=1
  `,
  ...along`
    DFT of a shorter length, along another axis | 2, 5, 3, 1 | 4 | 1
    DFT of a longer length | batch, 3, 2 | 5 | -2
  `,
  ...table()`
    STFT of a signal with a window |
      (x: float32[batch, 10, 1]) step: int64[] = 2; w: float32[4] = random(seed 1); y = STFT(x, step, w)
    STFT of complex numbers, whole spectra, without window |
      (x: float32[1, 8, 2]) step: int64[] = 3; length: int64[] = 4; y = STFT(x, step, _, length) {onesided=0}
  `,
  ...table()`
    STFT of a number of samples that has a name |
      (x: float32[batch, samples, 1]) step: int64[] = 3; w: float32[5] = ones; length: int64[] = 5; y = STFT(x, step, w, length) | sizes samples: 12
  `,
];
