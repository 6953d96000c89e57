/*
 * Runs a command and tells what it took, more finely than time(1) does:
 *
 *     measure RESULT COMMAND…
 *
 * writes to the file RESULT: wall ns, CPU µs (user and system), largest resident set in KiB, exit status.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec from, to;
	struct rusage used;
	int status;

	if (argc < 3)
		return 125;
	clock_gettime(CLOCK_MONOTONIC, &from);
	pid_t child = fork();
	if (child == 0) {
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	/* Ctrl-C is for the command: it ends a recorder, and is no reason not to tell what that took. */
	signal(SIGINT, SIG_IGN);
	if (child < 0 || wait4(child, &status, 0, &used) < 0)
		return 125;
	clock_gettime(CLOCK_MONOTONIC, &to);
	FILE *result = fopen(argv[1], "w");
	if (!result)
		return 125;
	fprintf(result, "%lld %lld %ld %d\n", (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec,
		(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000LL + used.ru_utime.tv_usec + used.ru_stime.tv_usec,
		used.ru_maxrss, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return fclose(result) ? 125 : 0;
}
