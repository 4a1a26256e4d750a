# SPDX-License-Identifier: BSD-2-Clause
# relay.py - two switches with a testpmd between them, for checked traffic.
"""
    front:gen --- front:vm --(vhost-user)-- testpmd --(vhost-user)-- back:vm
                                                                       |
                                                                   back:sink

What a client sends as front:gen comes out at back:sink, through both of
testpmd's ports, and the other way round. Both switches are static: nothing is
flooded, so each packet is one packet everywhere.
"""
import os

from glen import wait_until
from testpmd import Testpmd, VirtioUser

PORTS = ("front:vm", "back:vm")
CLIENTS = ("front:gen", "back:sink")


class Relay:
    """
    Switches and vhost-user ports, and a testpmd while one is started. mode:
    glend's role; guest: options of VirtioUser.
    """

    def __init__(self, glend, mode="server", jumbo=0, on=None, **guest):
        self.glend = glend
        self.mode = mode
        self.guest = guest
        self.jumbo = jumbo
        self.on = on
        self.pmd = None
        for port, client in zip(PORTS, CLIENTS):
            switch = port.split(":")[0]
            name = client.split(":")[1]
            glend.rpc("switch.add", switch=switch, module="static",
                      options={"map": {name: "vm", "vm": name}})
            glend.rpc("port.add", port=port, driver="vhost-user", mode=mode,
                      path=self.path(port), queues=guest.get("queues", 1))

    def path(self, port):
        return os.path.join(self.glend.dir, port.replace(":", "-"))

    def start(self, forward=True):
        """Starts testpmd and waits until both ports are up."""
        self.pmd = Testpmd(
            *(VirtioUser(self.path(port), server=self.mode == "client",
                         **self.guest) for port in PORTS),
            on=self.on, jumbo=self.jumbo)
        self.wait(True)
        if forward:
            self.pmd.forward()
        return self.pmd

    def wait(self, up):
        """Waits until the link of both ports is up, or down."""
        wait_until(lambda: all(self.glend.rpc("port.show", port=p)["link"]
                               == up for p in PORTS), 60,
                   f"link {'up' if up else 'down'}")

    def kill9(self):
        self.pmd.kill9()
        self.pmd = None

    def packets(self, port, way):
        return self.glend.port_stats(port)[way]["packets"]

    def __enter__(self):
        return self

    def __exit__(self, *how):
        if self.pmd:
            self.pmd.__exit__(*how)
