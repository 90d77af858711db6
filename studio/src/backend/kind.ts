/** Whether `pith studio` serves the page, and the native runtime computes. Vite's mode decides: the package contains the build with `--mode served`. */
export const isServed = import.meta.env.MODE === "served";
