"""A wire with a round-trip time: two network namespaces, each with its own TCP, joined by tunnels
(/dev/net/tun) between which this process carries packets, late and with losses. The kernel needs
no traffic control for it.

It counts round trips without a clock: each packet is marked with the longest chain of packets that
came before it. A packet of the near side has the highest mark that has arrived there, one of the
far side the highest that has arrived there and one more. So the highest mark of data that has
arrived at the near side is the number of round trips that waited for each other.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

NEAR, FAR = "10.77.0.1", "10.77.1.1"
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN_NO_PI = 0x400454CA, 0x1001
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS, UP = 0x8916, 0x891C, 0x8914, 0x41


def tunnel(name, *addresses):
    """A tunnel in this process's network namespace; /16, so that each end leads to the other."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
    # No router solicitations on a wire whose packets are counted.
    Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for index, address in enumerate(addresses):
            alias = (f"{name}:{index}" if index else name).encode()
            for request, ip in (SIOCSIFADDR, address), (SIOCSIFNETMASK, "255.255.0.0"):
                packed = struct.pack("16sHH4s16x", alias, socket.AF_INET, 0, socket.inet_aton(ip))
                fcntl.ioctl(any_socket, request, packed)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), UP))
    return tun


class Wire:
    """The process; `Client` talks to it over a Unix socket, which no namespace bounds."""

    def __init__(self, control, far, servers):
        self.tuns = [tunnel("near", NEAR)]
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        self.tuns.append(tunnel("far", *far))
        import ns
        ns.loopback_up()
        self.servers = [subprocess.Popen(argv, stdin=subprocess.DEVNULL) for argv in servers]
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.control.bind(control)
        self.under_way, self.sequence = [], 0
        self.reset(0, 0, 0)

    def reset(self, rtt, loss, seed):
        """Forgets what was: connections from before are carried on, and not counted."""
        self.rtt, self.loss, self.random = rtt, loss, random.Random(seed)
        self.under_way, self.arrived, self.round_trips, self.log = [], [0, 0], 0, []
        self.flows = set()

    def run(self):
        poll = select.poll()
        for end in (*self.tuns, self.control.fileno()):
            poll.register(end, select.POLLIN)
        while True:
            wait = None
            if self.under_way:
                wait = max(0, (self.under_way[0][0] - time.monotonic()) * 1000)
            for end, _ in poll.poll(wait):
                if end == self.control.fileno():
                    self.answer()
                else:
                    self.send(self.tuns.index(end))
            while self.under_way and self.under_way[0][0] <= time.monotonic():
                self.deliver(*heapq.heappop(self.under_way)[2:])

    def answer(self):
        request, client = self.control.recvfrom(4096)
        request = json.loads(request)
        if request:
            self.reset(**request)
        answer = {"round_trips": self.round_trips, "packets": len(self.log), "log": self.log[-300:]}
        self.control.sendto(json.dumps(answer).encode(), client)

    def send(self, side):
        """Takes what one side sends."""
        while True:
            try:
                packet = os.read(self.tuns[side], 65536)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4:
                continue
            flow, begins = flow_of(packet, side)
            if begins:
                self.flows.add(flow)
            mark, lost = 0, False
            if flow in self.flows:
                mark = self.arrived[side] + side
                lost = self.random.random() < self.loss
                self.log.append(f"{'<' if side else '>'} {mark} {shown(packet)}{' lost' * lost}")
            if not lost:
                self.sequence += 1
                at = time.monotonic() + self.rtt / 2
                heapq.heappush(self.under_way, (at, self.sequence, side, mark, packet))

    def deliver(self, side, mark, packet):
        other = 1 - side
        self.arrived[other] = max(self.arrived[other], mark)
        if side and payload(packet):
            self.round_trips = max(self.round_trips, mark)
        try:
            os.write(self.tuns[other], packet)
        except OSError:
            pass


def flow_of(packet, side):
    """Which conversation a packet belongs to, and whether it may be the first."""
    start = (packet[0] & 15) * 4
    near, far = (packet[12:16], packet[16:20])[::1 - 2 * side]
    near_port, far_port = struct.unpack_from(">HH", packet, start)[::1 - 2 * side]
    tcp = packet[9] == socket.IPPROTO_TCP
    first = not side and (not tcp or packet[start + 13] & 0x12 == 2)
    return (packet[9], near, near_port, far, far_port), first


def payload(packet):
    """How many bytes of data a packet of TCP or UDP holds."""
    start = (packet[0] & 15) * 4
    if packet[9] == socket.IPPROTO_TCP:
        return len(packet) - start - (packet[start + 12] >> 4) * 4
    return len(packet) - start - 8


def shown(packet):
    start = (packet[0] & 15) * 4
    source, target = (socket.inet_ntoa(packet[at:at + 4]) for at in (12, 16))
    ports = struct.unpack_from(">HH", packet, start)
    flags = ""
    if packet[9] == socket.IPPROTO_TCP:
        flags = "".join(c for bit, c in enumerate("FSRPA") if packet[start + 13] >> bit & 1)
    return f"{source}:{ports[0]} {target}:{ports[1]} {flags or 'UDP'} {payload(packet)}"


class Client:
    def __init__(self, directory):
        self.wire = str(Path(directory) / "wire")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(Path(directory) / "wire-client"))
        self.socket.settimeout(10)

    def ask(self, request):
        self.socket.sendto(json.dumps(request).encode(), self.wire)
        return json.loads(self.socket.recv(1 << 20))

    def reset(self, rtt, loss=0, seed=0):
        self.ask({"rtt": rtt, "loss": loss, "seed": seed})

    def seen(self):
        return self.ask({})


if __name__ == "__main__":
    control, far, servers = json.loads(sys.argv[1])
    Wire(control, far, servers).run()
