#!/usr/bin/env python3
"""Two meters on one line, on pymodbus 3.16: unit 1 is an Eastron SDM120, unit 2 a Schneider iEM3155, others are silent.
   usage: line.py PORT socket|rtu     (rtu: a serial line's frames over TCP, for socat to put on a pseudo-terminal)"""
import asyncio, sys
from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
F, L = DataType.FLOAT32, DataType.INT64
eastron = SimDevice(id=1, simdata=[SimData(0x0000, values=230.5, datatype=F), SimData(0x0006, values=0.5, datatype=F),
    SimData(0x000C, values=100.25, datatype=F), SimData(0x0048, values=12.5, datatype=F)])
schneider = SimDevice(id=2, simdata=[SimData(0x0BF3, values=1.5, datatype=F), SimData(0x0C83, values=123456, datatype=L)])
unit_at = {'socket': 6, 'rtu': 0}[sys.argv[2]]
def trace(sending, packet):
    "pymodbus answers for devices it does not have; a line does not."
    return b'' if sending and packet[unit_at] not in (1, 2) else packet
async def main():
    server = ModbusTcpServer([eastron, schneider], framer=FramerType(sys.argv[2]), address=('127.0.0.1', int(sys.argv[1])),
        trace_packet=trace)
    await server.serve_forever()
asyncio.run(main())
