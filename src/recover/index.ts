export { imitation } from "./end-to-end.ts";
export { recover } from "./recover.ts";
