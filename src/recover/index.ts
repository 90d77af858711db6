export { imitation } from "../train/losses/imitation.ts";
export { recover } from "./recover.ts";
