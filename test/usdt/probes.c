/* A program with probes that are called, and shaped, as QEMU's are. It waits for a line, does `rounds` of what it prints, and waits for another. */
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

#define SEMAPHORE(name) __attribute__((section(".probes"), used)) unsigned short qemu_##name##_semaphore
SEMAPHORE(virtqueue_pop);
SEMAPHORE(virtqueue_fill);
SEMAPHORE(virtio_queue_notify);
SEMAPHORE(virtio_set_status);
SEMAPHORE(virtio_blk_rw_complete);
SEMAPHORE(qemu_mutex_lock);
SEMAPHORE(qemu_mutex_locked);
SEMAPHORE(qemu_mutex_unlock);
SEMAPHORE(runstate_set);

/* Each probe stands in a function of its own, as tracetool writes them; only with a listener, as its counter says. */
#define PROBE __attribute__((noinline)) static void
PROBE pop(void *vq, void *elem, unsigned in_num, unsigned out_num)
{
    if (qemu_virtqueue_pop_semaphore) STAP_PROBE4(qemu, virtqueue_pop, vq, elem, in_num, out_num);
}
PROBE fill(void *vq, void *elem, unsigned len, unsigned idx)
{
    if (qemu_virtqueue_fill_semaphore) STAP_PROBE4(qemu, virtqueue_fill, vq, elem, len, idx);
}
PROBE notify(void *vdev, int n, void *vq)
{
    if (qemu_virtio_queue_notify_semaphore) STAP_PROBE3(qemu, virtio_queue_notify, vdev, n, vq);
}
PROBE status(void *vdev, uint8_t val)
{
    if (qemu_virtio_set_status_semaphore) STAP_PROBE2(qemu, virtio_set_status, vdev, val);
}
PROBE complete(void *vdev, void *req, int ret)
{
    if (qemu_virtio_blk_rw_complete_semaphore) STAP_PROBE3(qemu, virtio_blk_rw_complete, vdev, req, ret);
}
PROBE lock(void *mutex, const char *file, int line)
{
    if (qemu_qemu_mutex_lock_semaphore) STAP_PROBE3(qemu, qemu_mutex_lock, mutex, file, line);
}
PROBE locked(void *mutex, const char *file, int line)
{
    if (qemu_qemu_mutex_locked_semaphore) STAP_PROBE3(qemu, qemu_mutex_locked, mutex, file, line);
}
PROBE unlock(void *mutex, const char *file, int line)
{
    if (qemu_qemu_mutex_unlock_semaphore) STAP_PROBE3(qemu, qemu_mutex_unlock, mutex, file, line);
}
/* At two places, and with constants and memory for operands. */
PROBE state(int from, const char *from_name, int to, const char *to_name)
{
    volatile int in_memory = to;
    STAP_PROBE4(qemu, runstate_set, from, from_name, in_memory, to_name);
    STAP_PROBE4(qemu, runstate_set, -3, from_name, 0x7fffffff, to_name);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 1, leak = argc > 2 ? atoi(argv[2]) : 0;
    char *heap = malloc(1 << 20);
    void *vdev = heap, *vq = heap + 0x1000, *mutex = heap + 0x2000;
    puts("ready");
    fflush(stdout);
    getchar();
    status(vdev, 15);
    for (int i = 0; i < rounds; i++) {
        void *elem = heap + 0x4000 + (i % 1000) * 64;
        bool leaks = i + 1 == leak;
        lock(mutex, "../util/main-loop.c", 305);
        locked(mutex, "../util/main-loop.c", 305);
        notify(vdev, 0, vq);
        pop(vq, elem, 1, 2);
        complete(vdev, elem, i % 7 == 0 ? -5 : 0);
        if (!leaks) fill(vq, elem, 513, 0);
        else printf("leaked %p\n", elem);
        unlock(mutex, "../util/main-loop.c", 305);
    }
    state(-1, "running", 9, "paused \"\xc3\xa9\"");
    printf("vq %p vdev %p mutex %p\n", vq, vdev, mutex);
    fflush(stdout);
    getchar();
    getchar();
    return 0;
}
