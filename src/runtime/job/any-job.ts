/** Entry module of a job process that can run any job, including jobs of users. */
import { serveJob } from "./child.ts";

serveJob((address) => import(address));
